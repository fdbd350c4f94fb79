"""The page's own code, web protocol sheet §5.3 and §6: decoder and getter of the form key, and the
function that computes the tag.
"""

from __future__ import annotations

import json

from .builds import Build, Look

# An MD5 as pages bring their own. It reads its text by `charCodeAt`, and hashes it as UTF-8.
_MD5 = (
    "function m(s){var b=[],i,c,o,h=[1732584193,-271733879,-1732584194,271733878],k=[],"
    "r=[7,12,17,22,5,9,14,20,4,11,16,23,6,10,15,21];"
    "for(i=0;i<s.length;i++){c=s.charCodeAt(i);"
    "if(c>=55296&&c<56320&&i+1<s.length)c=65536+(c-55296<<10)+s.charCodeAt(++i)-56320;"
    "if(c<128)b.push(c);else if(c<2048)b.push(192|c>>6,128|c&63);"
    "else if(c<65536)b.push(224|c>>12,128|c>>6&63,128|c&63);"
    "else b.push(240|c>>18,128|c>>12&63,128|c>>6&63,128|c&63)}"
    "var n=b.length;b.push(128);while(b.length%64!=56)b.push(0);"
    "for(i=0;i<4;i++)b.push(n*8>>>8*i&255);b.push(n>>>29,0,0,0);"
    "for(i=0;i<64;i++)k[i]=Math.floor(Math.abs(Math.sin(i+1))*4294967296);"
    "for(o=0;o<b.length;o+=64){var w=[],A=h[0],B=h[1],C=h[2],D=h[3],f,g,q;"
    "for(i=0;i<16;i++)w[i]=b[o+4*i]|b[o+4*i+1]<<8|b[o+4*i+2]<<16|b[o+4*i+3]<<24;"
    "for(i=0;i<64;i++){if(i<16){f=B&C|~B&D;g=i}else if(i<32){f=D&B|~D&C;g=(5*i+1)%16}"
    "else if(i<48){f=B^C^D;g=(3*i+5)%16}else{f=C^(B|~D);g=7*i%16}"
    "f=f+A+k[i]+w[g]|0;A=D;D=C;C=B;q=r[(i>>4)*4+i%4];B=B+(f<<q|f>>>32-q)|0}"
    "h[0]=h[0]+A|0;h[1]=h[1]+B|0;h[2]=h[2]+C|0;h[3]=h[3]+D|0}"
    'for(o="",i=0;i<16;i++)o+=("0"+(h[i>>2]>>>8*(i%4)&255).toString(16)).slice(-2);return o}'
)
_SWAP = 'function x(h){var a=h.split(""),o=a[20];a[20]=a[24];a[24]=o;return a.join("")}'


def form_key(
    build: Build, look: Look, formkey: str, decoy: str, *, loops: bool = False
) -> tuple[str, str]:
    """Return the decoder of the form key, and the getter, which calls it.

    If it *loops*, the call never ends.
    """
    seed = "".join(real + false for real, false in zip(formkey, decoy, strict=True))
    return _decoder(build, look, loops=loops), _getter(build, look, seed)


def _decoder(build: Build, look: Look, *, loops: bool) -> str:
    # The secret's name stands in two halves, so that a search of the page for it fails. In the
    # wrong surroundings the decoder does not complain: it reads the decoy characters.
    half = len(build.secret_name) // 2
    first, second = build.secret_name[:half], build.secret_name[half:]
    step = f"{build.step}()" if look.markup == "attributes" else "2"
    start = "for(;;);" if loops else 'var out="";'
    return (
        '(function(){if("undefined"==typeof window)throw new Error;var w=window;'
        f"w.{build.decoder}=function(s)"
        '{var ok=w["docu"+"ment"]&&w["navi"+"gator"]&&!/bot/i.test(w["navi"+"gator"].userAgent)'
        '&&typeof process==="undefined"&&typeof QuickJS==="undefined"'
        f'&&w["{first}"+"{second}"]==="{build.secret_value}";'
        f'{start}for(var i=ok?0:1;i<s.length;i+={step})out+=s[i];return out+"0"}}}})();'
    )


def _getter(build: Build, look: Look, seed: str) -> str:
    name, call = build.getter, f'window.{build.decoder}("{seed}")'
    function = f"function(){{return {call}}}"
    match look.getter_shape:
        case "arrow":
            return f"window.{name}=()=>{call};"
        case "bracket":
            return f'window["{name}"]={function};'
        case "defined":
            return f'Object.defineProperty(window,"{name}",{{value:{function}}});'
    return f"window.{name}={function};"


def tag_function(build: Build, look: Look, *, loops: bool = False) -> str:
    """Return the code that puts the tag's function on `window`; empty if the page has none.

    Its second argument is the form key, the third one the body. The first is what hashes a text,
    if the function has nothing of its own for that; else it ignores it. It may be one that *loops*.
    """
    if look.tag_function == "none":
        return ""
    if loops:
        return f"window.{build.signer}=function(e,t,n){{for(;;);}};"
    names = {"body": "n", "formkey": "t", "salt": _salt(look)}
    joined = "+".join(names[part] for part in look.tag_order.split())
    is_swapped = look.tag_mode == "swapped"
    hashed = f"e({joined})" if look.tag_function == "md5" else f"m({joined})"
    value = f"x({hashed})" if is_swapped else hashed
    own = ("" if look.tag_function == "md5" else _MD5) + (_SWAP if is_swapped else "")
    return f"(function(){{{own}window.{build.signer}=function(e,t,n){{return {value}}}}})();"


def _salt(look: Look) -> str:
    """Return the expression whose value is the salt."""
    if look.tag_function != "hidden":
        return json.dumps(look.salt)
    half = (len(look.salt) + 1) // 2
    codes = ",".join(str(ord(one)) for one in look.salt[:half])
    rest = "".join(f"+{json.dumps(one)}" for one in look.salt[half:])
    return f"(String.fromCharCode({codes}){rest})"


def signature(build: Build, look: Look) -> str:
    """Return the chunk's code that names the tag's function; empty if the page has none."""
    match look.tag_function:
        case "none":
            return ""
        case "md5":
            return f"t.getAPISig=(e,t)=>window.{build.signer}(r.md5,t,e);"
    return f"t.getAPISig=(e,t)=>window.{build.signer}(r.nonce(16),t,e);"
