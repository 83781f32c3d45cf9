"""Run records and the HTML report made of them."""
