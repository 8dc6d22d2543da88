import type { Remote } from 'comlink';
import { useMemo } from 'preact/hooks';
import type { Choices, InspectorModel, LifeQuery, Moment, Timeline } from '../model/inspector-model.ts';
import type { ReportModel } from '../report/report-model.ts';
import { reportModel } from '../report/report-model.ts';
import { count } from '../report/words.ts';
import { MemorySection } from '../views/memory-section.tsx';
import { Choose } from './choose.tsx';
import { EventList } from './event-list.tsx';
import { PageCard } from './page-card.tsx';
import { lifeOf, lifeParameters, replaceRoute, routeTo } from './route.ts';
import { ScenarioForm } from './scenario-form.tsx';
import { TimelineLanes } from './timeline-lanes.tsx';
import { useAnswer } from './use-answer.ts';

interface TimePageProps {
  readonly model: Remote<InspectorModel>;
  readonly choices: Choices;
  readonly parameters: URLSearchParams;
  /** The name of the dump that is open. */
  readonly dump: string | undefined;
}

/** A life as a timeline, and the machine right after the event that is chosen. */
export function TimePage({ model, choices, parameters, dump }: TimePageProps) {
  const life = lifeOf(parameters);
  const isOfDump = life.kernel === 'dump';
  const { answer } = useAnswer(JSON.stringify([life, isOfDump ? dump : '']), () => model.timeline(life));
  const go = (to: LifeQuery, at: number, since?: number): void =>
    replaceRoute(
      routeTo('time', {
        ...lifeParameters(to),
        at: String(at),
        ...(since !== undefined && { since: String(since) }),
      }),
    );
  return (
    <main class="time">
      <h1>The life of a kernel, event by event</h1>
      <div class="tools">
        <Choose
          label="Machine"
          choices={
            life.scenario === null
              ? choices.machines
              : [{ name: life.machine, title: 'that of the scenario' }, ...choices.machines]
          }
          value={life.machine}
          onChoose={(machine) => go({ ...life, machine, scenario: null }, 0)}
        />
        <Choose
          label="Kernel"
          choices={[
            { name: 'modelled', title: 'it boots here' },
            { name: 'dump', title: dump === undefined ? 'that of a dump, protected' : `${dump}, protected` },
          ]}
          value={life.kernel}
          onChoose={(kernel) =>
            go({ ...life, kernel: kernel === 'dump' ? 'dump' : 'modelled', scenario: null, attack: null }, 0)
          }
        />
      </div>
      {life.attack !== null && (
        <p>
          While it is attacked, from the first step to the last:{' '}
          <a href={routeTo('attacks', { attack: life.attack, right: life.machine })}>{life.attack}</a>
        </p>
      )}
      <ScenarioForm
        key={life.scenario}
        text={life.scenario}
        onLive={(scenario) => go({ ...life, scenario, attack: null }, 0)}
      />
      {answer === undefined && <p aria-busy="true">Booting …</p>}
      {answer !== undefined && 'failure' in answer && <p role="alert">{answer.failure.message}</p>}
      {answer !== undefined && 'value' in answer && (
        <Course
          model={model}
          life={life}
          timeline={answer.value}
          at={eventOf(parameters, answer.value)}
          marked={markedOf(parameters)}
          onGo={(at, since) => go(life, at, since)}
        />
      )}
    </main>
  );
}

/** The event that changes are told from, where a route names one. */
function markedOf(parameters: URLSearchParams): number | undefined {
  const since = Number(parameters.get('since') ?? Number.NaN);
  return Number.isInteger(since) && since >= 0 ? since : undefined;
}

/** The event that a route names, by its number or by words in it; the first where there is no such. */
function eventOf(parameters: URLSearchParams, { events }: Timeline): number {
  const words = parameters.get('event');
  if (words !== null)
    return Math.max(
      0,
      events.findIndex(({ text }) => text.includes(words)),
    );
  const at = Number(parameters.get('at') ?? 0);
  return Number.isInteger(at) ? Math.max(0, Math.min(at, events.length - 1)) : 0;
}

interface CourseProps {
  readonly model: Remote<InspectorModel>;
  readonly life: LifeQuery;
  readonly timeline: Timeline;
  readonly at: number;
  /** The event that changes are told from; that before `at` where there is none, or none before it. */
  readonly marked: number | undefined;
  readonly onGo: (at: number, since: number | undefined) => void;
}

function Course({ model, life, timeline, at, marked, onGo: go }: CourseProps) {
  const { lanes, events, outcome } = timeline;
  const since = marked !== undefined && marked < at ? marked : at - 1;
  const { answer, isCurrent } = useAnswer(JSON.stringify([life, at, since]), () =>
    model.moment({ life, at }, since),
  );
  const onGo = (to: number): void => go(to, marked);
  const event = events[at];
  const last = events.length - 1;
  const nextStep = events.findIndex(({ isStep }, index) => isStep && index > at);
  const stepBefore = events.findLastIndex(({ isStep }, index) => isStep && index < at);
  return (
    <>
      <TimelineLanes timeline={timeline} at={at} onGo={onGo} />
      <fieldset class="tools" aria-label="Go to an event">
        <button type="button" disabled={at === 0} onClick={() => onGo(0)}>
          First
        </button>
        <button type="button" disabled={stepBefore < 0} onClick={() => onGo(stepBefore)}>
          {life.attack === null ? 'Boot step before' : 'Step of the attack before'}
        </button>
        <button type="button" disabled={at === 0} onClick={() => onGo(at - 1)}>
          Step back
        </button>
        <button type="button" disabled={at === last} onClick={() => onGo(at + 1)}>
          Step
        </button>
        <button type="button" disabled={nextStep < 0} onClick={() => onGo(nextStep)}>
          {life.attack === null ? 'Next boot step' : 'Next step of the attack'}
        </button>
        {lanes.map((lane, index) => {
          const next = events.findIndex((one, number) => one.lane === index && number > at);
          return (
            <button key={lane} type="button" disabled={next < 0} onClick={() => onGo(next)}>
              Run to {lane}
            </button>
          );
        })}
        <button type="button" disabled={at === last} onClick={() => onGo(last)}>
          Last
        </button>
        <button
          type="button"
          aria-pressed={marked !== undefined}
          onClick={() => go(at, marked === undefined ? at : undefined)}
        >
          {marked === undefined ? 'Compare with this' : `Compared with ${marked}`}
        </button>
      </fieldset>
      <p class="now" aria-live="polite">
        <strong>
          Event {at} of {last}
        </strong>{' '}
        <span class={`lane lane-${event?.lane}`}>{lanes[event?.lane ?? 0]}</span> <code>{event?.text}</code>
      </p>
      <div class="beside">
        <div class="moment" aria-busy={!isCurrent}>
          {answer !== undefined && 'failure' in answer && <p role="alert">{answer.failure.message}</p>}
          {answer !== undefined && 'value' in answer && (
            <At moment={answer.value} life={life} model={model} />
          )}
        </div>
        <EventList timeline={timeline} at={at} onGo={onGo} />
      </div>
      <p class="quiet">
        {count(events.length, 'event')}; {outcome}. Backwards it boots anew up to there: nothing in it is
        random.
      </p>
    </>
  );
}

interface AtProps {
  readonly moment: Moment;
  readonly life: LifeQuery;
  readonly model: Remote<InspectorModel>;
}

function At({ moment, life, model }: AtProps) {
  const report = useMemo(() => reportOf(moment), [moment]);
  const changed = useMemo(() => moment.changed.map(([start, end]) => ({ start, end })), [moment]);
  const { memory } = report;
  const before = moment.since === moment.at - 1 ? 'the event before' : `event ${moment.since}`;
  const pages = changed.reduce((sum, { start, end }) => sum + end - start, 0);
  return (
    <>
      <p id="changed">
        {pages === 0
          ? `Since ${before}, no rights of any page have changed.`
          : `Since ${before}, the rights of ${count(pages, 'page')} have changed: they are outlined.`}
      </p>
      {memory !== undefined && (
        <MemorySection
          model={report}
          memory={memory}
          selected={undefined}
          changed={changed}
          onSelect={() => {}}
          extra={(range) =>
            range.end - range.start === 1 && (
              <PageCard frame={range.start} memory={memory} model={model} moment={{ life, at: moment.at }} />
            )
          }
        />
      )}
      <h2>Registers of the processor that boots</h2>
      <dl class="facts">
        {moment.registers.map(({ name, value, bits }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <code>{value}</code> {bits.join(' ')}
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** A moment as the views of an audit take it. */
function reportOf({ memory, hypervisor }: Moment): ReportModel {
  return reportModel({
    tool: '',
    verdict: { fails: false, text: '', counts: { info: 0, low: 0, medium: 0, high: 0, critical: 0 } },
    facts: [],
    findings: [],
    warnings: [],
    memory,
    hypervisors: [
      {
        ...{ name: hypervisor, title: '', readiness: '', inForce: true, unjudged: false },
        ...{ facts: [], work: [], open: [], grants: 0 },
      },
    ],
  });
}
