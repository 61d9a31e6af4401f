package main

// userpassSteps are none: the module proxy has no version of OpenBao's class for userpass.
func userpassSteps() []step { return nil }
