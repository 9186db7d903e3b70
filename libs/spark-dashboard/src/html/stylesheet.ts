import { createHash } from 'node:crypto';

/** The one stylesheet of all pages. */
export const STYLESHEET = `
:root {
  color-scheme: light dark;
  --ground: #fff; --raised: #f5f6f8; --text: #1b1f24; --faint: #59636e; --line: #d0d7de; --link: #0b5cc0;
  --good: #116329; --bad: #b3131f; --warn: #7a4e00; --focus: #0b5cc0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1318; --raised: #191f27; --text: #e6e9ed; --faint: #9aa5b1; --line: #343d48; --link: #7cb8ff;
    --good: #5fd38a; --bad: #ff8f8f; --warn: #e5b454; --focus: #7cb8ff;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 0.5rem; top: 0.5rem; padding: 0.5rem 1rem; background: var(--ground); z-index: 1; }
header, nav, main { padding: 0 1rem; max-width: 80rem; margin: 0 auto; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 1rem; padding-top: 0.75rem; min-height: 2.75rem; }
header strong { font-size: 1.2rem; }
.live { margin: 0 0 0 auto; display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem; font-size: 0.85rem; }
.live[hidden] { display: none; }
.live button { min-height: 2rem; padding: 0.1rem 0.75rem; color: var(--faint); }
.live button[aria-pressed='true'] { color: var(--good); border-color: currentColor; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; list-style: none; margin: 0; padding: 0.5rem 0; border-bottom: 1px solid var(--line); }
nav a { display: inline-block; padding: 0.35rem 0; text-decoration: none; border-bottom: 2px solid transparent; }
nav a:hover { border-color: currentColor; }
nav a[aria-current] { color: var(--text); font-weight: 600; border-color: var(--link); }
main { padding-bottom: 3rem; }
h1 { font-size: 1.5rem; margin: 1rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 1.75rem 0 0.5rem; }
p { max-width: 50rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.75rem 0.4rem 0; border-bottom: 1px solid var(--line); overflow-wrap: break-word; max-width: 24rem; }
th { color: var(--faint); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
time { white-space: nowrap; font-variant-numeric: tabular-nums; }
td time { white-space: normal; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.calendar caption { position: static; width: auto; height: auto; clip-path: none; text-align: left; color: var(--faint); padding-bottom: 0.25rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1rem 0 0.25rem; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; margin: 0.5rem 0; }
dl.facts dt { color: var(--faint); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(11rem, 45%), 1fr)); gap: 0.75rem; list-style: none; padding: 0; margin: 0; }
.figures a { display: block; height: 100%; padding: 0.75rem; background: var(--raised); border: 1px solid var(--line); border-radius: 0.4rem; text-decoration: none; color: var(--text); }
.figures a:hover { border-color: var(--link); }
.figures b { display: block; font-size: 1.6rem; font-variant-numeric: tabular-nums; }
.figures .look b { color: var(--warn); }
.badge { display: inline-block; padding: 0 0.5rem; border: 1px solid currentColor; border-radius: 1rem; font-size: 0.85rem; white-space: nowrap; }
.completed { color: var(--good); }
.discarded, .wrong { color: var(--bad); }
.held, .paused, .waiting { color: var(--warn); }
.skipped, .faint { color: var(--faint); }
form.filter { display: flex; flex-wrap: wrap; gap: 0.5rem 0.75rem; align-items: end; padding: 0.75rem; background: var(--raised); border: 1px solid var(--line); border-radius: 0.4rem; margin-bottom: 1rem; }
form.filter div { flex: 1 1 10rem; max-width: 18rem; }
label { display: block; font-size: 0.85rem; color: var(--faint); }
input, select, button { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--faint); border-radius: 0.3rem; padding: 0.35rem 0.5rem; min-height: 2.5rem; }
input, select { width: 100%; }
input[type='range'] { width: calc(100% - 3rem); vertical-align: middle; }
button { cursor: pointer; padding: 0.35rem 0.9rem; }
button.danger { color: var(--bad); border-color: var(--bad); }
.acts { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; margin: 0.75rem 0; }
td .acts { flex-wrap: nowrap; margin: 0; }
td button { min-height: 2rem; padding: 0.1rem 0.75rem; white-space: nowrap; }
.notice { padding: 0.75rem 1rem; border-left: 0.3rem solid var(--warn); background: var(--raised); overflow-wrap: anywhere; }
.notice.done { border-color: var(--good); }
.notice.wrong { border-color: var(--bad); color: inherit; }
pre { background: var(--raised); border: 1px solid var(--line); border-radius: 0.4rem; padding: 0.75rem; margin: 0.5rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
ol.timeline { list-style: none; margin: 0.5rem 0; padding: 0 0 0 1rem; border-left: 2px solid var(--line); }
ol.timeline > li { padding: 0.35rem 0; overflow-wrap: anywhere; }
ol.timeline > li.now { color: var(--link); font-weight: 600; }
ol.timeline details { display: inline-block; vertical-align: top; max-width: 100%; }
ol.timeline summary { padding: 0; }
ol.timeline ul { margin: 0.15rem 0; padding-left: 1.2rem; }
.pages { display: flex; gap: 1rem; margin: 0.75rem 0; }
meter, progress { width: 8rem; max-width: 100%; }
input[type='range'] { padding: 0; accent-color: var(--link); }
output { font-variant-numeric: tabular-nums; }
.progress:has(~ .progress), .progress:has(~ .ended) { display: none; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { flex: 1 1 18rem; margin: 0; padding: 0.75rem; background: var(--raised); border: 1px solid var(--line); border-radius: 0.4rem; }
figcaption { color: var(--faint); font-size: 0.85rem; }
.chart { display: block; width: 100%; height: auto; }
.chart rect { fill: var(--link); }
.chart line { stroke: var(--line); }
.chart text { fill: var(--faint); font-size: 12px; }
summary { cursor: pointer; padding: 0.35rem 0; }
.calendar td.heat1 { background: color-mix(in srgb, var(--link) 8%, var(--ground)); }
.calendar td.heat2 { background: color-mix(in srgb, var(--link) 14%, var(--ground)); }
.calendar td.heat3 { background: color-mix(in srgb, var(--link) 20%, var(--ground)); }
.calendar td.heat4 { background: color-mix(in srgb, var(--link) 26%, var(--ground)); }
.calendar td, .calendar th { padding-left: 0.5rem; }
.calendar td.number a { color: var(--text); }
ul.chain, ul.chain ul { list-style: none; margin: 0.25rem 0; padding-left: 1rem; border-left: 2px solid var(--line); }
ul.chain li { overflow-wrap: anywhere; padding: 0.15rem 0; }
@media (max-width: 40rem) {
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: 0.5rem; }
  form.filter div { flex-basis: 40%; max-width: none; }
  form.filter div:has([type='datetime-local']) { flex-basis: 100%; }
}
`.trimStart();

/** Names the version of the stylesheet, so that browsers may keep it for long. */
export const STYLESHEET_VERSION = createHash('sha256').update(STYLESHEET).digest('hex').slice(0, 12);
