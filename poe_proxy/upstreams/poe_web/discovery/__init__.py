"""What Poe has changed on its site, found in the page and its scripts: web protocol sheet §5.6."""
