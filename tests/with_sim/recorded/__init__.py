"""What the product answered once, to be compared byte for byte with what it answers now."""
