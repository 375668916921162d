"""Timeline: a card game in which the player puts historical events in order, as two apps."""
