"""Where handlers run that are not coroutines: threads, processes, and the slots for them."""
