"""What every black-box suite needs: a real server, real clients, and requests made by hand."""
