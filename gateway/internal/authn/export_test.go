package authn

// Occupy takes all places for signature checks until release is called.
func (a *Authenticator) Occupy() (release func()) {
	for range cap(a.verifying) {
		a.verifying <- struct{}{}
	}
	return func() {
		for range cap(a.verifying) {
			<-a.verifying
		}
	}
}
