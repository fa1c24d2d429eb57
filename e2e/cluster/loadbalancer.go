package main

func runLoadBalancer() { select {} }
