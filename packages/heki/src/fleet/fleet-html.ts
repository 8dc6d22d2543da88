import type { Outcome, SetAside, StoredResult } from '@heki/fleet';
import { count, number } from '../quantity.ts';
import { htmlHead, htmlText as text } from '../report/html-text.ts';
import { VERSION } from '../report/report-header.ts';
import type { FleetPicture, Unlike } from './fleet-picture.ts';

/** Colours by scheme; each pair has a contrast of 4.5 to 1 or more (WCAG 1.4.3). What a colour says, a word says, too. */
const STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #16191d; --quiet: #4d5661; --line: #c5cad1; --pass: #176b37; --fail: #a40e26; --unreadable: #8a5300; --changed: #4d5661; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #eceff3; --quiet: #b3bcc7; --line: #48515c; --pass: #6fd695; --fail: #ff9d9f; --unreadable: #f2b84b; --changed: #b3bcc7; } }
body { margin: 1.5rem; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 80rem; }
table { border-collapse: collapse; }
th, td { padding: 0.2rem 0.75rem 0.2rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number { text-align: right; }
svg { display: block; width: 20rem; height: 1rem; }
.pass { color: var(--pass); fill: var(--pass); }
.fail { color: var(--fail); fill: var(--fail); font-weight: bold; }
.unreadable { color: var(--unreadable); fill: var(--unreadable); }
.changed, .quiet { color: var(--quiet); fill: var(--changed); }
details { margin: 0.25rem 0; }
code { font: 0.85rem ui-monospace, monospace; overflow-wrap: anywhere; }
`;

const OUTCOMES: readonly Outcome[] = ['pass', 'fail', 'unreadable', 'changed'];
/** Names of findings that are listed of one guest. */
const MOST_NAMES = 8;
const MOST_SET_ASIDE = 1000;

/** A fleet as one page that opens from disk: no script, nothing from elsewhere. */
export function* fleetHtml(picture: FleetPicture, setAside: readonly SetAside[]): Iterable<string> {
  const { total, guests, days, findings, unlike, unlikeLeftOut, bad, badLeftOut, guestsLeftOut } = picture;
  const all = OUTCOMES.reduce((sum, outcome) => sum + guests[outcome], 0);
  yield `${htmlHead('heki fleet', STYLE)}
<body>
<main>
<h1>heki fleet</h1>
<p><strong>${count(all, 'guest')}: ${OUTCOMES.map((outcome) => `<span class="${outcome}">${number(guests[outcome])} ${outcome}</span>`).join(', ')}; ${number(setAside.length)} set aside.</strong></p>
<p class="quiet">Written by heki ${text(VERSION)} out of ${count(total, 'result')}; of each guest its newest counts.${guestsLeftOut > 0 ? ` ${count(guestsLeftOut, 'result')} of guests beyond the first ${number(all)} are left out.` : ''}</p>
<h2>Verdicts over time</h2>
<table><thead><tr><th scope="col">day (UTC)</th><th scope="col">results</th>${OUTCOMES.map((outcome) => `<th scope="col">${outcome}</th>`).join('')}</tr></thead><tbody>`;
  const most = Math.max(1, ...days.map(({ outcomes }) => sumOf(outcomes)));
  for (const { day, outcomes } of days) {
    yield `<tr><th scope="row">${text(day)}</th><td>${bar(outcomes, most)}</td>${OUTCOMES.map((outcome) => `<td class="number">${number(outcomes[outcome])}</td>`).join('')}</tr>`;
  }
  yield `</tbody></table>
<h2>Findings by kind</h2>
<table><thead><tr><th scope="col">finding</th><th scope="col">severity</th><th scope="col">guests</th></tr></thead><tbody>`;
  for (const { id, severity, guests: having } of findings) {
    yield `<tr><th scope="row"><code>${text(id)}</code></th><td>${text(severity)}</td><td class="number">${number(having)}</td></tr>`;
  }
  yield `</tbody></table>
<h2>Guests that differ from their siblings</h2>
<p class="quiet">Siblings have the same kernel, and were audited with the same options. Where more than half of three or more have the same findings, the others are listed.</p>`;
  if (unlike.length === 0) yield '<p>None.</p>';
  for (const one of unlike) yield unlikeGuest(one);
  if (unlikeLeftOut > 0) yield `<p>And ${number(unlikeLeftOut)} more.</p>`;
  yield '<h2>Guests that do not pass</h2>';
  if (bad.length === 0) yield '<p>None.</p>';
  for (const result of bad) yield guest(result);
  if (badLeftOut > 0)
    yield `<p>And ${number(badLeftOut)} more: <code>heki fleet results</code> has them.</p>`;
  yield '<h2>Set aside</h2>';
  if (setAside.length === 0) yield '<p>None.</p>';
  else yield '<ul>';
  for (const { uri, reason, attempts } of setAside.slice(0, MOST_SET_ASIDE)) {
    yield `<li><code>${text(uri)}</code>: ${text(reason)} (${number(attempts)} times)</li>`;
  }
  if (setAside.length > MOST_SET_ASIDE) yield `<li>and ${number(setAside.length - MOST_SET_ASIDE)} more</li>`;
  yield `${setAside.length === 0 ? '' : '</ul>'}</main>
</body>
</html>`;
}

const sumOf = (outcomes: Readonly<Record<Outcome, number>>): number =>
  OUTCOMES.reduce((sum, outcome) => sum + outcomes[outcome], 0);

/** As wide as its share of `most`. A picture of the numbers beside it, which is nothing to a screen reader. */
function bar(outcomes: Readonly<Record<Outcome, number>>, most: number): string {
  let x = 0;
  const parts = OUTCOMES.map((outcome) => {
    const width = (outcomes[outcome] / most) * 1000;
    const part = `<rect class="${outcome}" x="${x.toFixed(1)}" width="${width.toFixed(1)}" height="10"/>`;
    x += width;
    return part;
  });
  return `<svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">${parts.join('')}</svg>`;
}

function unlikeGuest({ result, siblings, alike, more, fewer }: Unlike): string {
  return `<details><summary><code>${text(result.item.source.uri)}</code>: <span class="${result.outcome}">${result.outcome}</span>, unlike ${number(alike)} of ${number(siblings)}</summary>
${names('has, and they have not', more)}${names('has not, and they have', fewer)}
${report(result)}</details>`;
}

function names(what: string, list: readonly string[]): string {
  if (list.length === 0) return '';
  const shown = list.slice(0, MOST_NAMES).map((name) => `<li><code>${text(name)}</code></li>`);
  const rest = list.length - MOST_NAMES;
  return `<p>It ${what}:</p><ul>${shown.join('')}${rest > 0 ? `<li>and ${number(rest)} more</li>` : ''}</ul>`;
}

function guest(result: StoredResult): string {
  const { outcome, item, text: why } = result;
  return `<details><summary><span class="${outcome}">${outcome}</span> <code>${text(item.source.uri)}</code>: ${text(why)}</summary>
${report(result)}</details>`;
}

/** What the single report says, and how to see all of it. */
function report({ id, kernel, findings, finishedAt, item, worker }: StoredResult): string {
  const listed = findings
    .slice(0, MOST_NAMES)
    .map(
      ({ id: kind, severity, summary }) =>
        `<li><code>${text(kind)}</code> (${text(severity)}): ${text(summary)}</li>`,
    );
  const rest = findings.length - MOST_NAMES;
  return `<p>${kernel === undefined ? '' : `${text(kernel)}. `}<span class="quiet">Audited ${text(finishedAt.toISOString())} by heki ${text(item.hekiVersion)} on ${text(worker)}; <code>heki fleet show ${text(id)}</code> prints the report.</span></p>
${listed.length === 0 ? '' : `<ul>${listed.join('')}${rest > 0 ? `<li>and ${number(rest)} more</li>` : ''}</ul>`}`;
}
