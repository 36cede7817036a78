// placeholder until the room opens
