import type { Remote } from 'comlink';
import type { Exploration, InspectorModel } from '../model/inspector-model.ts';
import { count } from '../report/words.ts';
import { useAnswer } from './use-answer.ts';

interface ExplorationPageProps {
  readonly model: Remote<InspectorModel>;
  /** What `heki explore --json` printed. */
  readonly report: string;
}

/** What a search found: for each property that fell, the story that leads there. */
export function ExplorationPage({ model, report }: ExplorationPageProps) {
  const { answer } = useAnswer(report, () => model.exploration(report));
  if (answer === undefined) return <main aria-busy="true" />;
  return (
    <main class="attacks">
      <h1>What a search found</h1>
      {'failure' in answer ? <p role="alert">{answer.failure.message}</p> : <Found found={answer.value} />}
    </main>
  );
}

function Found({ found: { machine, title, properties } }: { readonly found: Exploration }) {
  // A property may have fallen without that the report has its story.
  const hasFallen = ({ verdict, story }: Exploration['properties'][number]) =>
    verdict === 'falls' || story !== null;
  const fallen = properties.filter(hasFallen);
  const others = properties.filter((property) => !hasFallen(property));
  return (
    <>
      <p>
        {machine !== null && <strong>{machine}</strong>}
        {title !== null && `: ${title}`}
      </p>
      <p role="status">
        {fallen.length === 0
          ? 'No property fell.'
          : `${count(fallen.length, 'property', 'properties')} fell.`}
      </p>
      {fallen.map(({ id, says, story }) => (
        <section key={id} aria-label={id}>
          <h2>
            {id} falls <small>{says}</small>
          </h2>
          {story === null && <p class="quiet">The report does not have its story.</p>}
          <ol class="story">
            {story?.map((action, index) => (
              <li key={`${index} ${action}`} class={index === story.length - 1 ? 'died parting' : 'done'}>
                <p>{action}</p>
              </li>
            ))}
          </ol>
        </section>
      ))}
      {others.length > 0 && (
        <ul>
          {others.map(({ id, says, verdict }) => (
            <li key={id}>
              <strong>{id}</strong> {verdict === 'holds' ? 'holds' : 'did not fall'}: {says}
            </li>
          ))}
        </ul>
      )}
      {machine !== null && (
        <p>
          Told again on a terminal: <code>heki explore --machine {machine} --replay REPORT</code>
        </p>
      )}
    </>
  );
}
