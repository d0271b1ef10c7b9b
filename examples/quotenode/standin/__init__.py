"""A small QuoteNode: offers, products and customers in PostgreSQL, images and PDFs on a volume."""
