package main
func runNetworkPolicy() {}
func runLocalVolumes() {}
