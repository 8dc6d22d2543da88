import type { Remote } from 'comlink';
import type { Choices, InspectorModel } from '../model/inspector-model.ts';
import { AttackCourse } from './attack-course.tsx';
import { Choose } from './choose.tsx';
import { replaceRoute, routeTo } from './route.ts';
import type { StoryPosition } from './stories.ts';
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
          <AttackCourse
            model={model}
            attack={asked.attack}
            left={a.value}
            right={b.value}
            at={positionOf(parameters)}
            onGo={({ step, instruction }) =>
              replaceRoute(
                routeTo('attacks', {
                  ...asked,
                  step: String(step + 1),
                  instruction: String(instruction + 1),
                }),
              )
            }
          />
        )}
        {isBusy && <p>Booting two kernels, and attacking both …</p>}
      </div>
    </main>
  );
}

/** Where in the stories a route is, if it says so: numbers from 1 on. */
function positionOf(parameters: URLSearchParams): StoryPosition | undefined {
  const [step, instruction] = ['step', 'instruction'].map((name) => Number(parameters.get(name) ?? 1) - 1);
  if (!parameters.has('step') || step === undefined || instruction === undefined) return undefined;
  return { step, instruction };
}
