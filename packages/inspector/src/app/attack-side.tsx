import type { Remote } from 'comlink';
import type { AttackStory, InspectorModel, MomentQuery } from '../model/inspector-model.ts';
import { count } from '../report/words.ts';
import { InstructionMeets } from './instruction-meets.tsx';
import { lifeParameters, routeTo } from './route.ts';
import { instructionAt, type StoryPosition } from './stories.ts';

/** Steps that are listed before and behind that where one is: a story may have thousands. */
const AROUND = 15;
/** Events of an instruction that are listed. */
const MOST_EVENTS = 60;

interface StorySideProps {
  readonly model: Remote<InspectorModel>;
  readonly attack: string;
  readonly story: AttackStory;
  readonly at: StoryPosition;
  readonly parting: number | undefined;
  readonly onGo: (at: StoryPosition) => void;
}

/** The attack on one machine: its steps, with the instruction where one is taken apart. */
export function StorySide({ model, attack, story, at, parting, onGo }: StorySideProps) {
  const { machine, verdict, evidence, steps } = story;
  const first = Math.max(0, Math.min(at.step - AROUND, steps.length - 2 * AROUND - 1));
  const shown = steps.slice(first, first + 2 * AROUND + 1);
  const behind = steps.length - first - shown.length;
  return (
    <section aria-label={machine.name}>
      <h2>
        {machine.name} <small>{machine.title}</small>
      </h2>
      {first > 0 && <p class="quiet">{count(first, 'step')} before</p>}
      <ol class="story" start={first + 1}>
        {shown.map(({ text, result, detail, by }, index) => {
          const step = first + index;
          const isHere = step === at.step;
          return (
            <li key={`${step} ${text}`} class={`${result}${step === parting ? ' parting' : ''}`}>
              <button
                type="button"
                class="plain"
                aria-current={isHere ? 'step' : undefined}
                onClick={() => onGo({ step, instruction: 0 })}
              >
                {text}
              </button>
              {isHere && <Instruction {...{ model, attack, story, at }} />}
              {result !== 'done' && (
                <p class="result">
                  <strong>{result}</strong>
                  {detail !== null && `: ${detail}`}
                  {by !== null && ` (by ${by})`}
                </p>
              )}
            </li>
          );
        })}
      </ol>
      {behind > 0 && <p class="quiet">{count(behind, 'step')} behind</p>}
      {at.step >= steps.length && <p class="quiet">The attack is over here.</p>}
      <p class={`verdict ${verdict === 'blocked' ? 'passes' : verdict === 'succeeds' ? 'fails' : ''}`}>
        <strong>{verdict}</strong>: {evidence}
      </p>
    </section>
  );
}

type InstructionProps = Pick<StorySideProps, 'model' | 'attack' | 'story' | 'at'>;

/** The events of an instruction, and what its access meets. */
function Instruction({ model, attack, story, at }: InstructionProps) {
  const { timeline, machine } = story;
  const instruction = instructionAt(story, at);
  if (instruction === undefined) return <p class="quiet">Nothing is executed here.</p>;
  const { start, end, access } = instruction;
  const shown = timeline.events.slice(start, Math.min(end, start + MOST_EVENTS));
  /** As it is when the instruction begins. */
  const moment: MomentQuery = {
    life: { machine: machine.name, kernel: 'modelled', scenario: null, attack },
    at: Math.max(0, start - 1),
  };
  return (
    <div class="instruction">
      <ol aria-label="What happens">
        {shown.map(({ lane, text }, index) => (
          <li key={`${index} ${text}`}>
            <span class={`lane lane-${lane}`}>{timeline.lanes[lane]}</span> <code>{text}</code>
          </li>
        ))}
      </ol>
      {end - start > MOST_EVENTS && <p class="quiet">{count(end - start - MOST_EVENTS, 'more event')}</p>}
      {access !== null && <InstructionMeets {...{ model, moment, access }} />}
      <a href={routeTo('time', { ...lifeParameters(moment.life), at: String(end - 1) })}>
        The machine at this moment
      </a>
    </div>
  );
}
