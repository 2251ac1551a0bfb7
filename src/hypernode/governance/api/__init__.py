"""HTTP for governance: stakes, proposals, cases, burns and the supply."""
