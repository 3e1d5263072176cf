"""The console's pages about bills on their way from m3ter to Chargebee's invoices."""
