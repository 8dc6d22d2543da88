import { hex } from '@heki/physical-memory';
import type { PageAlias } from '../report/audit-page.ts';
import type { MappedFinding } from '../report/report-model.ts';
import { count, physicalText, virtualText } from '../report/words.ts';

interface FindingsProps {
  readonly findings: readonly MappedFinding[];
  readonly selected: number | undefined;
  readonly onSelect: (index: number | undefined) => void;
  /** Where the walk of an address is; without, as in a page from disk, it is told how to come there. */
  readonly walkAt?: (address: string) => string;
}

/** The list of findings; the one that is selected shows all that is known of it, and is shown on the map. */
export function Findings({ findings, selected, onSelect, walkAt }: FindingsProps) {
  return (
    <section class="findings" aria-labelledby="findings-title">
      <h2 id="findings-title">{count(findings.length, 'finding')}</h2>
      {findings.length === 0 && <p>Nothing was found.</p>}
      <ol>
        {findings.map((finding) => {
          const isOpen = finding.index === selected;
          return (
            <li key={finding.index} class={isOpen ? 'selected' : undefined}>
              <h3>
                <button
                  type="button"
                  id={`finding-${finding.index}`}
                  aria-expanded={isOpen}
                  onClick={() => onSelect(isOpen ? undefined : finding.index)}
                >
                  <span class={`severity ${finding.severity}`}>{finding.severity}</span> {finding.title}
                </button>
              </h3>
              <p>{finding.summary}</p>
              {finding.accepted !== null && <p>Accepted by the baseline: {finding.accepted}</p>}
              {isOpen && <Details finding={finding} walkAt={walkAt} />}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

interface DetailsProps {
  readonly finding: MappedFinding;
  readonly walkAt: FindingsProps['walkAt'];
}

function Details({ finding, walkAt }: DetailsProps) {
  const { id, explanation, attack, legitimate, advice, runs, rangesLeftOut, aliases, aliasesLeftOut } =
    finding;
  return (
    <div class="details">
      <dl>
        <dt>What it is</dt>
        <dd>{explanation}</dd>
        <dt>What an attacker makes of it</dt>
        <dd>{attack}</dd>
        <dt>How a sound kernel comes to it</dt>
        <dd>{legitimate}</dd>
        <dt>What to do</dt>
        <dd>{advice}</dd>
      </dl>
      {runs.length > 0 && (
        <>
          <h4>Guest-physical ranges, {count(finding.pages, 'page')}</h4>
          <ul class="addresses">
            {runs.map((run) => (
              <li key={run.start}>
                <code>{physicalText(run)}</code> {count(run.end - run.start, 'page')}
              </li>
            ))}
          </ul>
          {rangesLeftOut > 0 && <p>{count(rangesLeftOut, 'more range')} not listed.</p>}
        </>
      )}
      {aliases.length > 0 && <Aliases aliases={aliases} walkAt={walkAt} />}
      {aliasesLeftOut > 0 && <p>{count(aliasesLeftOut, 'more mapping')} not listed.</p>}
      <p>
        <code>heki explain {id}</code> says more
        {walkAt === undefined && (
          <>
            , <code>heki inspect SOURCE</code> has it at <code>#memory?finding={id}</code>, with the walk of
            each address
          </>
        )}
        .
      </p>
    </div>
  );
}

interface AliasesProps {
  readonly aliases: readonly PageAlias[];
  readonly walkAt: FindingsProps['walkAt'];
}

function Aliases({ aliases, walkAt }: AliasesProps) {
  return (
    // A wide table scrolls by itself: it must be reached by keyboard.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls takes the focus (WCAG 2.1.1)
    <section class="wide" aria-label="Mappings of the finding" tabIndex={0}>
      <table>
        <caption>Where it is mapped</caption>
        <thead>
          <tr>
            <th scope="col">addresses</th>
            <th scope="col">rights</th>
            <th scope="col">leaf</th>
            <th scope="col">pages</th>
            <th scope="col">region</th>
          </tr>
        </thead>
        <tbody>
          {aliases.map(({ virtualFrame, frame, pages, region, leaf, effective }, index) => (
            <tr key={`${index} ${virtualFrame}`}>
              <td>
                {virtualFrame === null || frame === null ? (
                  'redacted'
                ) : (
                  <Addresses start={virtualFrame} pages={pages} walkAt={walkAt} />
                )}
              </td>
              <td>
                <code>{effective}</code>
              </td>
              <td>
                <code>{leaf}</code>
              </td>
              <td>{pages}</td>
              <td>{region}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface AddressesProps {
  /** First virtual frame. */
  readonly start: number;
  readonly pages: number;
  readonly walkAt: FindingsProps['walkAt'];
}

function Addresses({ start, pages, walkAt }: AddressesProps) {
  const text = <code>{virtualText({ start, end: start + pages })}</code>;
  return walkAt === undefined ? text : <a href={walkAt(hex(BigInt(start) << 12n))}>{text}</a>;
}
