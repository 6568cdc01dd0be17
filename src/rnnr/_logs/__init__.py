"""Files of rows that stay right when a run is killed and goes on."""
