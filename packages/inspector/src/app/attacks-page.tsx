import type { Remote } from 'comlink';
import type { AttackStory, Choices, InspectorModel } from '../model/inspector-model.ts';
import { Choose } from './choose.tsx';
import { replaceRoute, routeTo } from './route.ts';
import { partingOf } from './stories.ts';
import { useAnswer } from './use-answer.ts';

interface AttacksPageProps {
  readonly model: Remote<InspectorModel>;
  readonly choices: Choices;
  readonly parameters: URLSearchParams;
}

/** One attack on two machines, side by side, to the step where they part. */
export function AttacksPage({ model, choices, parameters }: AttacksPageProps) {
  const asked = {
    attack: parameters.get('attack') ?? 'store-text-after-pte-edit',
    left: parameters.get('left') ?? 'no-heki',
    right: parameters.get('right') ?? 'hardened',
  };
  const attack = choices.attacks.find(({ name }) => name === asked.attack);
  const left = useAnswer(`${asked.attack} ${asked.left}`, () => model.attack(asked.attack, asked.left));
  const right = useAnswer(`${asked.attack} ${asked.right}`, () => model.attack(asked.attack, asked.right));
  const change = (changes: Partial<typeof asked>): void =>
    replaceRoute(routeTo('attacks', { ...asked, ...changes }));
  const [a, b] = [left.answer, right.answer];
  const isBusy = !left.isCurrent || !right.isCurrent;
  return (
    <main class="attacks">
      <h1>One attack, two machines</h1>
      <div class="tools">
        <Choose
          label="Attack"
          choices={choices.attacks}
          value={asked.attack}
          onChoose={(name) => change({ attack: name })}
        />
        <Choose
          label="Left"
          choices={choices.machines}
          value={asked.left}
          onChoose={(name) => change({ left: name })}
        />
        <Choose
          label="Right"
          choices={choices.machines}
          value={asked.right}
          onChoose={(name) => change({ right: name })}
        />
      </div>
      {attack !== undefined && (
        <dl class="facts">
          <div>
            <dt>gains</dt>
            <dd>{attack.gains}</dd>
          </div>
          <div>
            <dt>from</dt>
            <dd>{attack.source}</dd>
          </div>
        </dl>
      )}
      <p>
        On a terminal:{' '}
        <code>
          heki attack {asked.attack} --machine {asked.left} {asked.right}
        </code>
      </p>
      <div aria-busy={isBusy}>
        {[a, b].map(
          (answer, index) =>
            answer !== undefined &&
            'failure' in answer && (
              <p key={index === 0 ? 'left' : 'right'} role="alert">
                {answer.failure.message}
              </p>
            ),
        )}
        {a !== undefined && b !== undefined && 'value' in a && 'value' in b && !isBusy && (
          <SideBySide left={a.value} right={b.value} />
        )}
        {isBusy && <p>Booting two kernels, and attacking both …</p>}
      </div>
    </main>
  );
}

function SideBySide({ left, right }: { readonly left: AttackStory; readonly right: AttackStory }) {
  const parting = partingOf(left, right);
  return (
    <>
      <p id="parting" role="status">
        {parting === undefined ? alike(left, right) : `They part at step ${parting + 1}.`}
      </p>
      <div class="side-by-side">
        <Story story={left} parting={parting} />
        <Story story={right} parting={parting} />
      </div>
    </>
  );
}

/** What is said where no step comes out otherwise. */
function alike(left: AttackStory, right: AttackStory): string {
  return left.verdict === right.verdict
    ? 'They do not part: every step goes on both alike, and so does what comes of it.'
    : `They part in what comes of it: every step goes on both alike. On the left: ${left.verdict}. On the right: ${right.verdict}.`;
}

interface StoryProps {
  readonly story: AttackStory;
  readonly parting: number | undefined;
}

function Story({ story: { machine, verdict, evidence, steps }, parting }: StoryProps) {
  return (
    <section aria-label={machine.name}>
      <h2>
        {machine.name} <small>{machine.title}</small>
      </h2>
      <ol class="story">
        {steps.map(({ text, result, detail, by }, index) => (
          <li key={`${index} ${text}`} class={`${result}${index === parting ? ' parting' : ''}`}>
            <p>{text}</p>
            {result !== 'done' && (
              <p class="result">
                <strong>{result}</strong>
                {detail !== null && `: ${detail}`}
                {by !== null && ` (by ${by})`}
              </p>
            )}
          </li>
        ))}
      </ol>
      <p class={`verdict ${verdict === 'blocked' ? 'passes' : verdict === 'succeeds' ? 'fails' : ''}`}>
        <strong>{verdict}</strong>: {evidence}
      </p>
    </section>
  );
}
