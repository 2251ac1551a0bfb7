"""What governance is asked and what it shows: the structs of its interface. Amounts and weights are µHYPER, times RFC
3339 in UTC."""
