from __future__ import annotations

import os
import signal
import time

from commands import partials, remove, transfer
from osdf_jobs import fed, federation_service, job
from servers.faults import fault_proxy, stall
from servers.tls_front import tls_front
from test_zz_explore import Dud, safe, show

__all__ = ["fed", "federation_service", "job"]

def test_existing(fed, job):
    job.environment["BEARER_TOKEN"]=fed.token()
    (job.out/"a").write_bytes(b"AAAA"); (job.out/"b").write_bytes(b"BBBB")
    import subprocess as sp
    print(sp.run(["wf-transfer","--help"],capture_output=True,text=True,env=job.environment).stdout.split("--existing")[1][:200])
    for word in ("verify","fail","overwrite","size","skip"):
        for f in "ab":
            fed.put("/open/ex/o", b"AAAA")
            run = safe(job, [transfer("x", job.url(f), fed.url("/open/ex/o"))], "--existing", word)
            if run is Dud or not run.document: print(word, f, "??", run.err[:200]); continue
            r=run.request("x"); print(word, f, r["status"], r["route"], r["error"] and r["error"]["code"], r["error"] and r["error"]["remedy"], fed.stored("/open/ex/o").read_bytes())

def test_interrupted(fed, job):
    job.environment["BEARER_TOKEN"]=fed.token()
    data=os.urandom(8<<20); (job.out/"big").write_bytes(data)
    for sig in (signal.SIGKILL, signal.SIGTERM):
        with fault_proxy(fed.servers.origin, stall(4<<20, upward=True)) as proxy, tls_front(proxy.port, fed.tls.server) as front:
            fed.change("/open", origins=(f"https://localhost:{front}",))
            p = job.start([transfer("x", job.url("big"), fed.url(f"/open/int/{sig}"))], "--journal", "j"+str(int(sig)))
            t=time.time()
            while proxy.bytes_up < 3<<20 and time.time()-t<10: time.sleep(0.05)
            p.send_signal(sig); p.wait(30); print(sig, p.returncode, round(time.time()-t,1), p.stderr and p.stderr.read()[-300:])
        time.sleep(0.5)
        fed.change("/open", origins=(fed.origin,))
        s=fed.stored(f"/open/int/{sig}")
        print("  left:", s.exists() and s.stat().st_size)
        run = safe(job, [transfer("x", job.url("big"), fed.url(f"/open/int/{sig}"))], "--journal", "j"+str(int(sig)))
        show(run,"x"); print("  after:", s.exists() and s.read_bytes()==data)

def test_kill_read(fed, job):
    data=os.urandom(8<<20); fed.put("/open/kr/x", data)
    for i in range(5): fed.put(f"/open/kr/s{i}", b"%d"%i)
    for sig in (signal.SIGKILL, signal.SIGTERM):
        with fed.bad_cache(stall(4<<20)) as bad:
            fed.serve_from(bad)
            fed.change("/open", origins=(fed.origin,))
            nm="x%d"%sig
            b=[transfer(nm, fed.url("/open/kr/x"), job.url(nm))]
            p = job.start(b, "--journal", "jr%d"%sig)
            t=time.time()
            while time.time()-t<10:
                ps=partials(job.out)
                if ps and max(q.stat().st_size for q in ps)>2<<20: break
                time.sleep(0.05)
            p.send_signal(sig); p.wait(30); print(sig, p.returncode, partials(job.out))
        fed.reset()
        with fed.counted_cache() as (url, proxy):
            fed.serve_from(url)
            run = safe(job, b, "--journal", "jr%d"%sig); show(run, nm); print("  bytes again", proxy.bytes_down, (job.out/nm).read_bytes()==data, partials(job.out))
            n=proxy.bytes_down
            run = safe(job, b, "--journal", "jr%d"%sig); show(run, nm); print("  third", proxy.bytes_down-n)

def test_thousand(fed, job):
    names=[f"t/{i%10}/{i}" for i in range(1000)]
    for nme in names: fed.put(f"/open/{nme}", b"x"*1000)
    with fed.counted_cache() as (url, proxy):
        fed.serve_from(url, fed.caches[1])
        t=time.time()
        run = safe(job, [transfer(nme, fed.url(f"/open/{nme}"), job.url(nme)) for nme in names])
        print("1000:", run.exit, round(time.time()-t,1), "conns", proxy.connections, "director", len(fed.director.asked), sum(len(r["attempts"]) for r in run.document["requests"]), run.err[-300:])
    # slow cache first
    for nme in names[:60]: fed.put(f"/open/s{nme}", b"x"*1000)
    with fed.bad_cache(stall(0)) as bad:
        fed.serve_from(bad, fed.caches[1])
        t=time.time()
        run = safe(job, [transfer(nme, fed.url(f"/open/s{nme}"), job.url("s"+nme)) for nme in names[:60]], "--stall-seconds","2")
        print("stalling first:", run.exit, round(time.time()-t,1), sum(len(r["attempts"]) for r in run.document["requests"]))
    with fed.dead_cache() as d1, fed.dead_cache() as d2:
        fed.serve_from(d1, d2)
        t=time.time()
        run = safe(job, [transfer(nme, fed.url(f"/open/s{nme}"), job.url("d"+nme)) for nme in names[:60]])
        print("all dead:", run.exit, round(time.time()-t,1), sum(len(r["attempts"]) for r in run.document["requests"]), run.err[-400:])

def test_removes(fed, job):
    job.environment["BEARER_TOKEN"]=fed.token()
    fed.put("/open/rm/a", b"x")
    for u in (fed.url("/"), fed.url(""), fed.url("/open"), fed.url("/open?recursive"), "osdf:///", fed.url("/open/rm/"), fed.url("/open/rm/%2e%2e"), fed.url("/open/rm/a?pack")):
        run = safe(job, [remove(u, recursive=True)], "--dry-run") if False else safe(job, [remove(u, recursive=u!=fed.url("/open/rm/a?pack"))])
        if run is Dud: continue
        if not run.document: print(u, run.exit, run.err[:200]); continue
        r=run.document["requests"][0]; print(u, r["status"], r["error"] and r["error"]["message"][:150], fed.stored("/open").exists(), fed.stored("/open/rm/a").exists())
        fed.put("/open/rm/a", b"x")
