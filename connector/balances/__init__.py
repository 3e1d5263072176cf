"""m3ter's Balance Billing, driven whole: balances, what raises and lowers them, what is charged for that, and bill jobs."""
