"""What can be done with stakes, proposals, cases and the supply. Every act is one transaction, and one comes after
another."""
