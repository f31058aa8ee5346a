"""The HTTP side: the published wire call and its neighbours, the JSON API, and what operators look at."""
