package main

func runNetworkPolicy() { select {} }
