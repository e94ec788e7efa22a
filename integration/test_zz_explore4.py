from __future__ import annotations

import hashlib
import os
import subprocess
import time

from commands import partials, transfer
from osdf_jobs import fed, federation_service, job
from servers.faults import stall
from test_zz_explore import safe, show

__all__ = ["fed", "federation_service", "job"]
def test_list(fed, job):
    for n in (50,100,300,1000):
        for i in range(n): fed.put(f"/open/l{n}/{i}", b"x")
        r = subprocess.run(["curl","-sS","--cacert",str(fed.tls.ca),"-X","PROPFIND","-H","Depth: 1","-o","/dev/null","-w","%{size_download} %{http_code}\n",f"{fed.origin}/open/l{n}/"],capture_output=True,text=True)
        print(n, r.stdout, r.stderr)
        run = safe(job, [transfer("t%d"%n, fed.url(f"/open/l{n}?recursive"), job.url("t%d"%n))])
        show(run, "t%d"%n); print(sum(1 for _ in (job.out/("t%d"%n)).rglob("*")) if (job.out/("t%d"%n)).exists() else None)
def test_journal(fed, job):
    data=os.urandom(8<<20); fed.put("/open/kr/x", data)
    more={"checksum":{"type":"sha256","value":hashlib.sha256(data).hexdigest()}}
    with fed.bad_cache(stall(4<<20)) as bad:
        fed.serve_from(bad)
        nm="x"
        b=[transfer(nm, fed.url("/open/kr/x"), job.url(nm), **more)]
        p = job.start(b, "--journal", "jr")
        t=time.time()
        while time.time()-t<10:
            ps=partials(job.out)
            if ps and max(q.stat().st_size for q in ps)>2<<20: break
            time.sleep(0.05)
        p.send_signal(9); p.wait(30); print(p.returncode, [(q.stat().st_size) for q in partials(job.out)])
    with fed.counted_cache() as (url, proxy):
        fed.serve_from(url)
        run = safe(job, b, "--journal", "jr"); show(run, nm); print("  bytes again", proxy.bytes_down, (job.out/nm).read_bytes()==data, partials(job.out))
        n=proxy.bytes_down
        run = safe(job, b, "--journal", "jr"); show(run, nm); print("  third", proxy.bytes_down-n)
