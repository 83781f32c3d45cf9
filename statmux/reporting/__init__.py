"""Run records, figures, and the HTML reports made of them."""
