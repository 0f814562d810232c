import cProfile, pstats
from tests.security.test_webhook_mutations import *
@pytest.mark.parametrize("vendor", ["octokit"], indirect=True)
def test_prof(vendor, door):
    ask(vendor, door, vendor.genuine.attempt)
    atts=list(mutations(vendor.genuine, 1000, seed=20261123))
    p=cProfile.Profile(); p.enable()
    bad=[]
    for how, a in atts:
        r=ask(vendor, door, a)
        if r.success or r.status!=401: bad.append((how, r.outcome, r.status, str(a)[:300]))
    p.disable()
    import sys
    pstats.Stats(p, stream=open('/tmp/prof.txt','w')).sort_stats('cumulative').print_stats(40)
    open('/tmp/bad.txt','w').write('\n'.join(map(str,bad)))
del globals()["test_ten_thousand_changed_requests_are_refused_and_leave_no_row"]
