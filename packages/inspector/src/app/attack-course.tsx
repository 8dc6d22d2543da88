import type { Remote } from 'comlink';
import type { AttackStory, InspectorModel } from '../model/inspector-model.ts';
import { StorySide } from './attack-side.tsx';
import { beginningOf, otherWay, partingOf, positionsOf, type StoryPosition } from './stories.ts';

interface AttackCourseProps {
  readonly model: Remote<InspectorModel>;
  readonly attack: string;
  readonly left: AttackStory;
  readonly right: AttackStory;
  /** Where one is; where they part, if nowhere. */
  readonly at: StoryPosition | undefined;
  readonly onGo: (at: StoryPosition) => void;
}

/** One attack on two machines, gone through instruction by instruction on both at once. */
export function AttackCourse({ model, attack, left, right, at: asked, onGo }: AttackCourseProps) {
  const parting = partingOf(left, right);
  const beginning = beginningOf(left, right);
  const earlier = otherWay(left, right);
  const positions = positionsOf(left, right);
  const index = Math.max(0, positions.findIndex(isAt(asked ?? beginning)));
  const at = positions[index] ?? beginning;
  const last = positions.length - 1;
  const to = (number: number): void => {
    const position = positions[number];
    if (position !== undefined) onGo(position);
  };
  const nextStep = positions.findIndex(({ step }) => step > at.step);
  const stepBefore = positions.findIndex(({ step }) => step === (at.instruction > 0 ? at.step : at.step - 1));
  return (
    <>
      <p id="parting" role="status">
        {parting === undefined ? alike(left, right) : `They part at step ${parting + 1}.`}
      </p>
      {earlier !== undefined && (earlier.step !== parting || parting === undefined) && (
        <p id="other-way">
          They first go different ways at step {earlier.step + 1}, instruction {earlier.instruction + 1}, and
          that step comes out alike.
        </p>
      )}
      <fieldset class="tools" aria-label="Go to an instruction, on both machines">
        <button type="button" disabled={index === 0} onClick={() => to(0)}>
          First
        </button>
        <button type="button" disabled={stepBefore < 0} onClick={() => to(stepBefore)}>
          Step before
        </button>
        <button type="button" disabled={index === 0} onClick={() => to(index - 1)}>
          Instruction back
        </button>
        <button type="button" disabled={index === last} onClick={() => to(index + 1)}>
          Instruction
        </button>
        <button type="button" disabled={nextStep < 0} onClick={() => to(nextStep)}>
          Next step
        </button>
        <button type="button" disabled={isAt(at)(beginning)} onClick={() => onGo(beginning)}>
          Where they part
        </button>
        <button type="button" disabled={index === last} onClick={() => to(last)}>
          Last
        </button>
      </fieldset>
      <p class="now" id="position" aria-live="polite">
        <strong>
          Step {at.step + 1} of {Math.max(left.steps.length, right.steps.length)}, instruction{' '}
          {at.instruction + 1} of {positions.filter(({ step }) => step === at.step).length}
        </strong>
        {isAt(at)(beginning) && parting !== undefined && ': here they part'}
      </p>
      <div class="side-by-side">
        {[left, right].map((story, side) => (
          <StorySide key={`${side} ${story.machine.name}`} {...{ model, attack, story, at, parting, onGo }} />
        ))}
      </div>
    </>
  );
}

const isAt =
  (one: StoryPosition) =>
  ({ step, instruction }: StoryPosition): boolean =>
    step === one.step && instruction === one.instruction;

/** What is said where no step comes out otherwise. */
function alike(left: AttackStory, right: AttackStory): string {
  return left.verdict === right.verdict
    ? 'They do not part: every step goes on both alike, and so does what comes of it.'
    : `They part in what comes of it: every step goes on both alike. On the left: ${left.verdict}. On the right: ${right.verdict}.`;
}
