"""One customer whole: account, subscriptions, plans over time, bills and balances, from our own rows."""
