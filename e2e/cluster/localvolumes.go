package main

func runLocalVolumes() { select {} }
