import type { Remote } from 'comlink';
import type { AttackInstruction, InspectorModel, MomentQuery, WalkQuery } from '../model/inspector-model.ts';
import { walkRoute } from './route.ts';
import { useAnswer } from './use-answer.ts';

interface InstructionMeetsProps {
  readonly model: Remote<InspectorModel>;
  readonly moment: MomentQuery;
  readonly access: NonNullable<AttackInstruction['access']>;
}

/** What an access meets on its machine, through both stages. */
export function InstructionMeets({ model, moment, access }: InstructionMeetsProps) {
  const query: WalkQuery = { ...access, edits: {} };
  const hash = walkRoute(query, moment);
  const { answer, isCurrent } = useAnswer(hash, () => model.walkAt(moment, query));
  return (
    <div class="meets" aria-busy={!isCurrent}>
      {answer === undefined && <p class="quiet">Walking to {access.address} …</p>}
      {answer !== undefined && 'failure' in answer && <p role="alert">{answer.failure.message}</p>}
      {answer !== undefined && 'value' in answer && (
        <>
          <p class={answer.value.outcome.kind === 'allowed' ? 'passes' : 'fails'}>
            <strong>{answer.value.outcome.text}</strong>
          </p>
          {answer.value.outcome.details.map((text) => (
            <p key={text}>{text}</p>
          ))}
          <ol aria-label="Entries of the walk">
            {answer.value.steps.map(({ name, value, address, target }) => (
              <li key={address}>
                <code>
                  {name} {value}
                </code>{' '}
                <span class="target">{target}</span>
              </li>
            ))}
            {answer.value.outcome.secondLevel?.steps.slice(-1).map(({ name, value, text, address }) => (
              <li key={address}>
                <code>
                  {name} {value}
                </code>{' '}
                <span class="target">{text}</span>
              </li>
            ))}
          </ol>
          <a href={hash}>The walk</a>
        </>
      )}
    </div>
  );
}
