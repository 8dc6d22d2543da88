import type { Remote } from 'comlink';
import type { InspectorModel, WalkAnswer, WalkQuery } from '../model/inspector-model.ts';
import { AddressAnatomy } from './address-anatomy.tsx';
import {
  auditRoute,
  lifeParameters,
  momentOf,
  replaceRoute,
  routeTo,
  walkQueryOf,
  walkRoute,
} from './route.ts';
import { submittedAddress } from './submitted-address.ts';
import { useAnswer } from './use-answer.ts';
import { StageBeside, WalkStep } from './walk-step.tsx';

interface WalkPageProps {
  readonly model: Remote<InspectorModel>;
  /** The first address, where none is asked for. */
  readonly text: string;
  readonly parameters: URLSearchParams;
}

const ACCESSES = [
  ['read', 'Read'],
  ['write', 'Write'],
  ['fetch', 'Execute'],
] as const;

/** The walk of an address: each table that it goes through, and what the access meets. */
export function WalkPage({ model, text, parameters }: WalkPageProps) {
  const query = walkQueryOf(parameters, text);
  const moment = momentOf(parameters);
  const { answer, isCurrent } = useAnswer(walkRoute(query, moment), () =>
    moment === undefined ? model.walk(query) : model.walkAt(moment, query),
  );
  const change = (changes: Partial<WalkQuery>): void =>
    replaceRoute(walkRoute({ ...query, ...changes }, moment));
  const edited = Object.keys(query.edits).length;

  return (
    <main class="walk">
      <h1>The walk of an address</h1>
      {moment !== undefined && (
        <p>
          {moment.life.scenario === null ? `On the machine ${moment.life.machine}` : 'In a scenario'}
          {moment.life.attack !== null && `, which is attacked (${moment.life.attack})`}, right after{' '}
          <a href={routeTo('time', { ...lifeParameters(moment.life), at: String(moment.at) })}>
            event {moment.at}
          </a>
          {query.cpu !== undefined && `, by its virtual CPU ${query.cpu}`}: each entry of the guest is read
          through the second level.
        </p>
      )}
      <form
        class="tools"
        onSubmit={(event) => {
          const address = submittedAddress(event);
          if (address !== undefined) change({ address });
        }}
      >
        <label>
          Address or symbol{' '}
          <input
            name="va"
            key={query.address}
            defaultValue={query.address}
            spellcheck={false}
            autocomplete="off"
          />
        </label>
        <button type="submit">Walk</button>
        <fieldset class="choices">
          <legend class="unseen">Access</legend>
          {ACCESSES.map(([access, title]) => (
            <label key={access}>
              <input
                type="radio"
                name="access"
                checked={query.access === access}
                onChange={() => change({ access })}
              />{' '}
              {title}
            </label>
          ))}
          <label>
            <input
              type="checkbox"
              checked={query.user}
              onChange={(event) => change({ user: event.currentTarget.checked })}
            />{' '}
            from user mode
          </label>
        </fieldset>
        <button type="button" disabled={edited === 0} onClick={() => change({ edits: {} })}>
          Undo all edits
        </button>
      </form>
      {edited > 0 && moment === undefined && (
        <p>
          <a href={auditRoute(query.edits)}>
            What the audit finds with {edited === 1 ? 'this edit' : 'these edits'}
          </a>
        </p>
      )}
      {answer !== undefined && 'failure' in answer && <p role="alert">{answer.failure.message}</p>}
      {answer !== undefined && 'value' in answer && (
        <div aria-busy={!isCurrent}>
          <Walk
            answer={answer.value}
            edited={edited}
            onEdit={(edit) => change({ edits: { ...query.edits, ...edit } })}
          />
        </div>
      )}
    </main>
  );
}

interface WalkProps {
  readonly answer: WalkAnswer;
  readonly edited: number;
  readonly onEdit: (edit: WalkQuery['edits']) => void;
}

function Walk({ answer, edited, onEdit }: WalkProps) {
  const { va, place, steps, outcome, registers, processor, tables, warnings, command } = answer;
  return (
    <>
      <AddressAnatomy va={va} place={place} steps={steps} />
      <div class={`outcome-banner ${outcome.kind}`} role="status" id="outcome">
        <p>
          <strong>{outcome.text}</strong>
        </p>
        {outcome.details.map((text) => (
          <p key={text}>{text}</p>
        ))}
        {outcome.details.length === 0 && <p>no entry was found fault with</p>}
      </div>
      {outcome.secondLevel !== null && (
        <StageBeside
          what="The page itself is reached"
          secondLevel={outcome.secondLevel}
          isOfEntry={false}
          onEdit={onEdit}
        />
      )}
      <ol class="steps" aria-label="Entries of the walk">
        {steps.map((step) => (
          <WalkStep key={step.address} step={step} onEdit={onEdit} />
        ))}
      </ol>
      <h2>By these registers</h2>
      <dl class="facts">
        {registers.map(({ name, value, bits }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <code>{value}</code> {bits.join(' ')}
            </dd>
          </div>
        ))}
        <div>
          <dt>processor</dt>
          <dd>{processor}</dd>
        </div>
        <div>
          <dt>page tables</dt>
          <dd>{tables}</dd>
        </div>
      </dl>
      {warnings.length > 0 && (
        <ul class="warnings">
          {warnings.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
      {command !== null && (
        <p>
          {edited === 0 ? 'The same on a terminal: ' : 'Without the edits, on a terminal: '}
          <code>{command}</code>
        </p>
      )}
    </>
  );
}
