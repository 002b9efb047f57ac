#pragma once
// How /docs looks: one column on a phone, the list of resources beside it where there is room.

#include <string_view>

namespace insula::api {

inline constexpr std::string_view docs_style = R"(
:root{--ink:#1b2430;--soft:#5a6675;--line:#dde2e8;--back:#fff;--raised:#f6f8fa;--link:#0b5cad;
--get:#0b6b3a;--post:#0b5cad;--patch:#8a5a00;--delete:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa7b6;--line:#303945;--back:#14181e;
--raised:#1c222a;--link:#7fb8f5;--get:#6fcf97;--post:#7fb8f5;--patch:#e5b567;--delete:#f28b82}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0 auto;max-width:76rem;padding:0 1rem 4rem;color:var(--ink);background:var(--back);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
display:grid;grid-template-columns:minmax(0,1fr)}
header,nav,main{min-width:0}
h1{font-size:1.7rem;line-height:1.2;margin:1.6rem 0 .2rem}
header p{margin:0;color:var(--soft)}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;text-transform:capitalize}
h3{font-size:1rem;margin:1.4rem 0 .4rem}
h4{font-size:.85rem;margin:1rem 0 .3rem;color:var(--soft);font-weight:600}
a{color:var(--link)}
code{font:.875em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
overflow-wrap:anywhere}
em{color:var(--soft)}
nav ul{list-style:none;margin:1rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.3rem .9rem}
nav a{display:inline-block;padding:.15rem 0;text-transform:capitalize}
.op{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;background:var(--raised)}
.op>summary{cursor:pointer;padding:.6rem .8rem;display:grid;gap:.15rem .6rem;align-items:baseline;
grid-template-columns:auto minmax(0,1fr);list-style:none}
.op>summary::-webkit-details-marker{display:none}
.op>summary{position:relative;padding-right:2.2rem}
.op>summary::after{content:"+";position:absolute;right:.9rem;top:.6rem;color:var(--soft)}
.op[open]>summary::after{content:"\2212"}
.op>summary:hover{background:var(--line);border-radius:.5rem}
.op>div{padding:0 .8rem .8rem;border-top:1px solid var(--line)}
.path{font-weight:600}
.sum{grid-column:1/-1}
.who{grid-column:1/-1;color:var(--soft);font-size:.85rem}
.m{font:600 .75rem/1.6 ui-monospace,Menlo,Consolas,monospace;color:var(--back);border-radius:.25rem;
padding:0 .45rem;background:var(--soft);min-width:4.2rem;text-align:center}
.get{background:var(--get)}.post{background:var(--post)}.patch{background:var(--patch)}
.delete{background:var(--delete)}
table{border-collapse:collapse;width:100%;table-layout:fixed}
th,td{border-top:1px solid var(--line);padding:.35rem .5rem .35rem 0;text-align:left;
vertical-align:top;overflow-wrap:anywhere}
th{font-weight:400;width:34%}
.s2,.s3{color:var(--get)}.s4{color:var(--patch)}.s5{color:var(--delete)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
:target{scroll-margin-top:1rem}
article:target h3{text-decoration:underline}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--back)}
@media(min-width:60rem){
body{grid-template-columns:12rem minmax(0,1fr);gap:0 2.5rem}
header{grid-column:1/-1}
nav{position:sticky;top:1rem;align-self:start;max-height:calc(100vh - 2rem);overflow:auto}
nav ul{display:block;margin-top:1.6rem}
.op>summary{grid-template-columns:auto minmax(0,1fr) auto}
.sum{grid-column:2/3;grid-row:2}.who{grid-column:3/4;grid-row:1/3;align-self:center}
th{width:16rem}
}
)";

/// The Content-Security-Policy of the page: this style and nothing else.
std::string_view docs_policy();

}  // namespace insula::api
