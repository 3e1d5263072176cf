"""Approved m3ter bills on their way to pending Chargebee invoices: planned whole, sent once, proved by a receipt."""
