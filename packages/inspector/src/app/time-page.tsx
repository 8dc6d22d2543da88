import type { Remote } from 'comlink';
import { useMemo } from 'preact/hooks';
import type { Choices, InspectorModel, Moment, Timeline } from '../model/inspector-model.ts';
import type { ReportModel } from '../report/report-model.ts';
import { reportModel } from '../report/report-model.ts';
import { count } from '../report/words.ts';
import { MemorySection } from '../views/memory-section.tsx';
import { Choose } from './choose.tsx';
import { EventList } from './event-list.tsx';
import { replaceRoute, routeTo } from './route.ts';
import { TimelineLanes } from './timeline-lanes.tsx';
import { useAnswer } from './use-answer.ts';

interface TimePageProps {
  readonly model: Remote<InspectorModel>;
  readonly choices: Choices;
  readonly parameters: URLSearchParams;
}

/** A boot as a timeline, and the machine right after the event that is chosen. */
export function TimePage({ model, choices, parameters }: TimePageProps) {
  const machine = parameters.get('machine') ?? 'hardened';
  const { answer } = useAnswer(machine, () => model.timeline(machine));
  const go = (to: string, at: number): void => replaceRoute(routeTo('time', { machine: to, at: String(at) }));
  return (
    <main class="time">
      <h1>The boot of a kernel, event by event</h1>
      <div class="tools">
        <Choose label="Machine" choices={choices.machines} value={machine} onChoose={(name) => go(name, 0)} />
      </div>
      {answer === undefined && <p aria-busy="true">Booting …</p>}
      {answer !== undefined && 'failure' in answer && <p role="alert">{answer.failure.message}</p>}
      {answer !== undefined && 'value' in answer && (
        <Course
          model={model}
          timeline={answer.value}
          at={eventOf(parameters, answer.value)}
          onGo={(at) => go(answer.value.machine.name, at)}
        />
      )}
    </main>
  );
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
  readonly timeline: Timeline;
  readonly at: number;
  readonly onGo: (at: number) => void;
}

function Course({ model, timeline, at, onGo }: CourseProps) {
  const { machine, lanes, events, outcome } = timeline;
  const { answer, isCurrent } = useAnswer(`${machine.name} ${at}`, () => model.moment(machine.name, at));
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
          Boot step before
        </button>
        <button type="button" disabled={at === 0} onClick={() => onGo(at - 1)}>
          Step back
        </button>
        <button type="button" disabled={at === last} onClick={() => onGo(at + 1)}>
          Step
        </button>
        <button type="button" disabled={nextStep < 0} onClick={() => onGo(nextStep)}>
          Next boot step
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
          {answer !== undefined && 'value' in answer && <At moment={answer.value} />}
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

function At({ moment }: { readonly moment: Moment }) {
  const report = useMemo(() => reportOf(moment), [moment]);
  const changed = useMemo(() => moment.changed.map(([start, end]) => ({ start, end })), [moment]);
  const pages = changed.reduce((sum, { start, end }) => sum + end - start, 0);
  return (
    <>
      <p id="changed">
        {pages === 0
          ? 'Since the event before, no rights of any page have changed.'
          : `Since the event before, the rights of ${count(pages, 'page')} have changed: they are outlined.`}
      </p>
      {report.memory !== undefined && (
        <MemorySection
          model={report}
          memory={report.memory}
          selected={undefined}
          changed={changed}
          onSelect={() => {}}
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
