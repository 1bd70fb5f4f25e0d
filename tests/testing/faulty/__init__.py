"""Components of which each breaks one promise, so that no check passes for want of trying."""
