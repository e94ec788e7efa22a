from __future__ import annotations

import hashlib
import time
import zlib

from commands import transfer
from osdf_jobs import fed, federation_service, job
from servers.scripted import CLOSE, STALL, answer, scripted
from test_zz_explore import Dud, safe

__all__ = ["fed", "federation_service", "job"]
DATA = b"0123456789"*200000

def loc(s): return s.url.replace("127.0.0.1","localhost")

def test_caches(fed, job, tls_files):
    fed.put("/open/c/x", DATA)
    n=len(DATA)
    adl = "%08x" % zlib.adler32(DATA)
    mute = answer(status="405 No")
    def get(first, rest=None):
        def choose(target, number, count):
            return first
        return choose
    half = DATA[:n//2]
    bad = bytearray(DATA); bad[5]^=1; bad=bytes(bad)
    chunk = lambda d: b"%x\r\n%s\r\n"%(len(d),d)
    cases = {
      "503": [answer(b"", status="503 No")],
      "500": [answer(b"", status="500 No")],
      "404": [answer(b"", status="404 No")],
      "403": [answer(b"", status="403 No")],
      "302loop": [answer(b"", "Location: /open/c/x", status="302 F")],
      "302http": [answer(b"", "Location: http://localhost:1/x", status="302 F")],
      "302file": [answer(b"", "Location: file:///etc/passwd", status="302 F")],
      "html": [answer(b"<html>login</html>", "Content-Type: text/html")],
      "cutcl": [mute, [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"%n+half, CLOSE]],
      "cutcl0": [mute, [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"%n, CLOSE]],
      "head": [mute, [b"HTTP/1.1 200 OK\r\nConte", CLOSE]],
      "trailer": [mute, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Transfer-Status\r\n\r\n"+chunk(half)+b"0\r\nX-Transfer-Status: 500: disk\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"%n],
      "trailerfull": [mute, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Transfer-Status\r\n\r\n"+chunk(DATA)+b"0\r\nX-Transfer-Status: 500: disk\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"%n],
      "shortcl": [mute, answer(half)],
      "lying": [mute, answer(bad)],
      "lyingdig": [answer(b"", f"Digest: adler32={adl}"), answer(bad)],
      "wrongdig": [answer(b"", "Digest: adler32=00000001"), answer(DATA)],
      "206": [mute, answer(half, f"Content-Range: bytes 0-{n//2-1}/{n}", status="206 P")],
      "206b": [mute, answer(half, f"Content-Range: bytes 5-{n//2-1}/{n}", status="206 P")],
      "stall": [mute, [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"%n+half, STALL]],
      "stallhead": [[STALL]],
      "gz": [mute, answer(DATA,"Content-Encoding: gzip")],
      "negcl": [mute, b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"],
    }
    for name, scripts in cases.items():
      for more in ({}, {"checksum":{"type":"sha256","value":hashlib.sha256(DATA).hexdigest()}}):
        with scripted(*scripts, certificate=tls_files.server) as s:
            fed.reset(); fed.serve_from(loc(s), fed.caches[1])
            t=time.time()
            nm=name+("+" if more else "")
            run = safe(job, [transfer(nm, fed.url("/open/c/x"), job.url(nm), **more)], "--stall-seconds","1")
            print(nm, round(time.time()-t,1), len(s.requests)); 
            if run is Dud: continue
            r=run.request(nm)
            print("   ", r["status"], r.get("evidence"), [a["error"] and (a["error"]["code"]) for a in r["attempts"]], r["error"] and r["error"]["message"][:200], (job.out/nm).exists() and (job.out/nm).read_bytes()==DATA)

def test_second_stage(fed, job, tls_files):
    """first cache cut at half; second answers the range oddly"""
    fed.put("/open/c/x", DATA); n=len(DATA); mute=answer(status="405 No"); half=n//2
    rest=DATA[half:]
    odd = {
      "200": answer(DATA), "wrongrange": answer(rest, f"Content-Range: bytes 0-{n-1-half}/{n}", status="206 P"),
      "othersize": answer(rest+b"xx", f"Content-Range: bytes {half}-{n+1}/{n+2}", status="206 P"),
      "star": answer(rest, f"Content-Range: bytes {half}-{n-1}/*", status="206 P"),
      "416": answer(b"", f"Content-Range: bytes */{half}", status="416 R"),
      "chunked206": b"HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"%(half,n-1,n)+b"%x\r\n%s\r\n0\r\nX-Transfer-Status: 500: bad\r\n\r\n"%(len(rest),rest),
      "chunkedmore": b"HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"%(half,n-1,n)+b"%x\r\n%s\r\n0\r\nX-Transfer-Status: 200: ok\r\n\r\n"%(len(rest)+5,rest+b"xxxxx"),
    }
    for name, ans in odd.items():
        with scripted(mute, [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"%n+DATA[:half], CLOSE], answer(status="500 no"), certificate=tls_files.server) as a, scripted(ans, certificate=tls_files.server) as b:
            b.choose = lambda t,x,c: ans
            fed.reset(); fed.serve_from(loc(a), loc(b), fed.caches[1])
            t=time.time()
            run = safe(job, [transfer(name, fed.url("/open/c/x"), job.url(name))], "--stall-seconds","2")
            print(name, round(time.time()-t,1), [r.line.split()[0]+" "+r.headers.get("range","") for r in b.requests])
            if run is Dud: continue
            r=run.request(name)
            print("   ", r["status"], r.get("evidence"), [a["error"] and (a["error"]["code"], a["error"]["message"][-90:]) for a in r["attempts"]], (job.out/name).exists() and (job.out/name).read_bytes()==DATA)
