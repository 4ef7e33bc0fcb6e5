"""Examples that runs can be made of: data sets with what is shown and measured of them, in the way of a user's own."""
