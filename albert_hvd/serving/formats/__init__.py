"""Models that live elsewhere: their names, their layouts, and the way in and out."""
