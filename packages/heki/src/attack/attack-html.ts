import { type Cell, isRed, type Matrix, type MatrixRow, scoresOf } from '@heki/attacks';
import { htmlHead, htmlText as text } from '../report/html-text.ts';
import { VERSION } from '../report/report-header.ts';
import { countLine, scheduleText, snapshotText, verdictText } from './attack-text.ts';

/** Colours by scheme; each pair has a contrast of 4.5 to 1 or more (WCAG 1.4.3). What a colour says, a word says, too. */
const STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #16191d; --quiet: #4d5661; --line: #c5cad1; --red: #a40e26; --redback: #fde7ea; --green: #176b37; --amber: #8a5300; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #eceff3; --quiet: #b3bcc7; --line: #48515c; --red: #ff9d9f; --redback: #3a1a1e; --green: #6fd695; --amber: #f2b84b; } }
body { margin: 1.5rem; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 110rem; }
a { color: inherit; }
.scroll { overflow: auto; max-height: 80vh; border: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 0.8rem; }
th, td { padding: 0.2rem 0.5rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
thead th { position: sticky; top: 0; background: var(--back); }
tbody th { font-weight: normal; }
.red { color: var(--red); font-weight: bold; }
.claimed { background: var(--redback); }
.stopped { color: var(--green); }
.other { color: var(--amber); }
.nothing, .quiet { color: var(--quiet); }
section { margin-top: 2rem; }
h3 { margin: 0 0 0.25rem; font-family: ui-monospace, monospace; }
details { margin: 0.25rem 0 0 1rem; }
code { font: 0.85rem ui-monospace, monospace; overflow-wrap: anywhere; }
`;

/** A matrix as one page that opens from disk: no script, nothing from elsewhere. */
export function* attackHtml(matrix: Matrix, snapshot?: string): Iterable<string> {
  yield `${htmlHead('heki attack: every attack on every machine', STYLE)}
<body>
<main>
<h1>heki attack</h1>
<p><strong>${text(countLine(matrix))}.</strong></p>${snapshot === undefined ? '' : `<p>${text(snapshotText(snapshot))}.</p>`}
<p class="quiet">Written by heki ${text(VERSION)}. <em>claimed</em>: the machine says that it stops this.</p>
<h2 id="machines">Machines</h2>
<ul>`;
  const scores = new Map(scoresOf(matrix).map((score) => [score.machine, score]));
  for (const { name, title, mechanisms } of matrix.machines) {
    const score = scores.get(name);
    const told =
      score === undefined
        ? ''
        : `: stops ${score.attacks.stopped} of ${score.attacks.tried} attacks, and ${score.work.goesOn} of ${score.work.tried} kinds of legitimate work go on`;
    yield `<li><code>${text(name)}</code>: ${text(title)}${told}<span class="quiet">${mechanisms.length === 0 ? '' : ` (${text(mechanisms.join(', '))})`}</span></li>`;
  }
  yield `</ul>
<h2 id="matrix">The matrix</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="matrix">
<table>
<thead><tr><th scope="col">attack</th>${matrix.machines.map(({ name }) => `<th scope="col">${text(name)}</th>`).join('')}</tr></thead>
<tbody>`;
  for (const row of matrix.rows) {
    const cells = matrix.machines.map(({ name }) => tableCell(row, row.cells.get(name)));
    yield `<tr><th scope="row"><a href="#${text(row.attack.name)}">${text(row.attack.name)}</a></th>${cells.join('')}</tr>`;
  }
  yield `</tbody>
</table>
</div>
<h2 id="attacks">One by one</h2>`;
  for (const row of matrix.rows) yield section(row);
  yield `</main>
</body>
</html>`;
}

function tableCell({ attack }: MatrixRow, cell: Cell | undefined): string {
  if (cell === undefined) return '<td></td>';
  const { kind, word } = look(attack.legitimate === true, cell);
  return `<td class="${kind}">${word}</td>`;
}

/** How a verdict is shown: its class, and its word. */
function look(legitimate: boolean, cell: Cell): { readonly kind: string; readonly word: string } {
  if (legitimate && cell.verdict !== 'not expressible')
    return isRed(cell) ? { kind: 'stopped', word: 'works' } : { kind: 'red', word: 'does not work' };
  if (isRed(cell))
    return cell.claimed
      ? { kind: 'red claimed', word: `${cell.verdict}, claimed` }
      : { kind: 'red', word: cell.verdict };
  if (cell.verdict === 'not expressible') return { kind: 'nothing', word: 'not expressible' };
  return { kind: cell.verdict === 'blocked' ? 'stopped' : 'other', word: cell.verdict };
}

function section({ attack, claimedBy, cells }: MatrixRow): string {
  return `<section aria-labelledby="${text(attack.name)}">
<h3 id="${text(attack.name)}">${text(attack.name)}</h3>
<p>${text(attack.title)}. <strong>Gains:</strong> ${text(attack.gains)}. <strong>Source:</strong> ${text(attack.source)}. <strong>Claimed by:</strong> ${text(claimedBy.length === 0 ? 'none' : claimedBy.join(', '))}.</p>
${[...cells].map(([machine, cell]) => details(attack.legitimate === true, machine, cell)).join('\n')}
</section>`;
}

function details(legitimate: boolean, machine: string, cell: Cell): string {
  const { kind } = look(legitimate, cell);
  const steps = cell.steps.filter(({ looks, result }) => !looks || result !== 'done').slice(0, 32);
  const list = steps.map(
    ({ text: step, detail }) =>
      `<li><code>${text(step)}</code>${detail === undefined ? '' : `: ${text(detail)}`}</li>`,
  );
  return `<details><summary><code>${text(machine)}</code>: <span class="${kind}">${text(verdictText(cell))}</span></summary>
<p>${text(cell.evidence)}</p>${cell.schedule === undefined ? '' : `<p>${text(scheduleText(cell.schedule))}</p>`}
${list.length === 0 ? '' : `<ol>${list.join('')}</ol>`}</details>`;
}
