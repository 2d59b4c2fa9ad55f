"""What we own and owe: positions per sleeve, balances per venue, equity and its peak."""
