import type { Remote } from 'comlink';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type {
  Answer,
  InspectorFailure,
  InspectorModel,
  OpenedDump,
  ServedSource,
  ServedStory,
} from '../model/inspector-model.ts';
import { reportModel } from '../report/report-model.ts';
import { AttacksPage } from './attacks-page.tsx';
import { ExplorationPage } from './exploration-page.tsx';
import { MemoryPage, type MemoryPageProps } from './memory-page.tsx';
import { editsOf, lifeOf, momentOf, PAGES, type Route, replaceRoute, routeTo, useRoute } from './route.ts';
import { TimePage } from './time-page.tsx';
import { TourPanel, tourAt } from './tour-panel.tsx';
import { ToursPage } from './tours-page.tsx';
import { useAnswer } from './use-answer.ts';
import { WalkPage } from './walk-page.tsx';

/** What is open, or why nothing is. */
type Source =
  | { readonly state: 'opening'; readonly name: string }
  | { readonly state: 'open'; readonly dump: OpenedDump }
  | { readonly state: 'failed'; readonly failure: InspectorFailure };

/** The file of the kernel that comes with heki. */
const OWN_KERNEL = 'k61-256-nokaslr.elf.gz';

/** The inspector. */
export function App({ model }: { readonly model: Remote<InspectorModel> }) {
  const [source, setSource] = useState<Source>({ state: 'opening', name: 'the kernel' });
  const route = useRoute();
  /** How many were opened: what was opened last is what is shown, however long one before takes. */
  const openings = useRef(0);

  const settle = (open: (isLast: () => boolean) => Promise<Answer<OpenedDump>>): void => {
    openings.current += 1;
    const number = openings.current;
    const isLast = (): boolean => number === openings.current;
    void open(isLast).then((answer) => {
      if (!isLast()) return;
      setSource(
        'failure' in answer
          ? { state: 'failed', failure: answer.failure }
          : { state: 'open', dump: answer.value },
      );
    });
  };
  const openFiles = (files: readonly File[]): void => {
    const [first] = files;
    if (first === undefined) return;
    // What goes with a dump comes with it: one JSON file alone is what a search found.
    if (files.length === 1 && /\.json$/i.test(first.name)) {
      void first.text().then((report) => {
        location.hash = routeTo('attacks', { report });
      });
      return;
    }
    setSource({ state: 'opening', name: files.map(({ name }) => name).join(', ') });
    settle(() => model.openFiles(files));
  };

  const exploration = route.page === 'attacks' ? (route.parameters.get('report') ?? undefined) : undefined;
  const onTour = tourAt(route.parameters);
  const moment = route.page === 'walk' ? momentOf(route.parameters) : undefined;
  const isAboutMachines = route.page === 'time' || route.page === 'attacks' || moment !== undefined;
  const isAboutDump = (route.page === 'memory' || route.page === 'walk') && !isAboutMachines;
  const isOfDump = isAboutMachines && exploration === undefined && lifeOf(route.parameters).kernel === 'dump';
  const waits = source.state === 'opening' && (isAboutDump || isOfDump);
  const dump = source.state === 'open' ? source.dump : undefined;

  // Tours go through the kernel that comes with heki, whatever is open.
  const needsOwn =
    isAboutDump && onTour !== undefined && source.state !== 'opening' && dump?.name !== OWN_KERNEL;
  useEffect(() => {
    if (needsOwn) settle((isLast) => openServed(model, 'kernel.json', isLast));
  }, [needsOwn]);

  useEffect(() => {
    if (location.hash === '#story') void followStory();
    settle((isLast) => openServed(model, 'source.json', isLast));
    const over = (event: DragEvent): void => event.preventDefault();
    const drop = (event: DragEvent): void => {
      event.preventDefault();
      openFiles([...(event.dataTransfer?.files ?? [])]);
    };
    addEventListener('dragover', over);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('drop', drop);
    };
  }, []);

  return (
    <>
      <nav class="bar" aria-label="Inspector">
        <a class="brand" href={routeTo('memory')}>
          heki <span>inspector</span>
        </a>
        <div class="pages">
          {PAGES.map(({ id, title }) => (
            <a key={id} href={routeTo(id)} aria-current={route.page === id ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </div>
        <label class="opener">
          <span>{dump === undefined ? 'Open a dump' : dump.name}</span>
          <span class="button" aria-hidden="true">
            Open…
          </span>
          <input
            type="file"
            multiple
            aria-label="Open a dump, and the JSON that goes with it"
            onChange={(event) => {
              openFiles([...(event.currentTarget.files ?? [])]);
              event.currentTarget.value = '';
            }}
          />
        </label>
      </nav>
      {onTour !== undefined && <TourPanel {...onTour} />}
      {route.page === 'tours' && <ToursPage />}
      {exploration !== undefined && <ExplorationPage model={model} report={exploration} />}
      {isAboutMachines && exploration === undefined && !waits && (
        <MachinePage
          // What is shown of one dump's kernel is none of another's, which may have the same name.
          key={isOfDump ? openings.current : 'modelled'}
          route={route}
          model={model}
          dump={dump?.name}
        />
      )}
      {isAboutDump && source.state === 'failed' && <Failed failure={source.failure} />}
      {waits && (
        <main aria-busy="true">
          <h1>Opening {source.name}</h1>
        </main>
      )}
      {isAboutDump && dump !== undefined && (
        <DumpPage key={dump.name} route={route} model={model} dump={dump} />
      )}
      <footer>
        <p>
          What is opened stays in this browser: the page sends nothing, and asks nobody else for anything.
        </p>
      </footer>
    </>
  );
}

interface PageProps {
  readonly route: Route;
  readonly model: Remote<InspectorModel>;
  readonly dump: OpenedDump;
}

/** A page about the dump. */
function DumpPage({ route: { page, parameters }, model, dump }: PageProps) {
  const report = useMemo(() => reportModel(dump.page), [dump]);
  const edits = editsOf(parameters);
  if (page === 'walk') return <WalkPage model={model} text={dump.text} parameters={parameters} />;
  if (Object.keys(edits).length > 0)
    return <EditedPage model={model} parameters={parameters} edits={edits} />;
  return <MemoryPage report={report} model={model} parameters={parameters} edits={edits} />;
}

/** The audit of the dump's kernel, as if the reader's edits were in its page tables. */
function EditedPage({ model, parameters, edits }: Omit<MemoryPageProps, 'report'>) {
  const { answer } = useAnswer(JSON.stringify(edits), () => model.audit(edits));
  const audited = answer !== undefined && 'value' in answer ? answer.value : undefined;
  const report = useMemo(() => audited && reportModel(audited), [audited]);
  if (answer !== undefined && 'failure' in answer) return <Failed failure={answer.failure} />;
  if (report === undefined) {
    return (
      <main aria-busy="true">
        <h1>Auditing the edited page tables</h1>
      </main>
    );
  }
  return <MemoryPage report={report} model={model} parameters={parameters} edits={edits} />;
}

interface MachinePageProps extends Omit<PageProps, 'dump'> {
  /** The name of the dump that is open. */
  readonly dump: string | undefined;
}

/** A page about machines, for which no dump is needed. */
function MachinePage({ route: { page, parameters }, model, dump }: MachinePageProps) {
  const { answer } = useAnswer('choices', () => model.choices());
  if (answer === undefined) {
    return (
      <main aria-busy="true">
        <h1>Loading the machines</h1>
      </main>
    );
  }
  if ('failure' in answer) return <Failed failure={answer.failure} />;
  const choices = answer.value;
  if (page === 'walk') return <WalkPage model={model} text="_text" parameters={parameters} />;
  return page === 'time' ? (
    <TimePage model={model} choices={choices} parameters={parameters} dump={dump} />
  ) : (
    <AttacksPage model={model} choices={choices} parameters={parameters} />
  );
}

function Failed({ failure }: { readonly failure: InspectorFailure }) {
  return (
    <main>
      <h1 class="fails">It cannot be opened</h1>
      <p role="alert">{failure.message}</p>
      <p>
        Drop a dump of a guest's memory on this page, or choose one above: an ELF core, a kdump, a LiME or a
        raw image, plain or packed by gzip; together with the JSON that goes with it, if there is one.
      </p>
    </main>
  );
}

/** Goes to where the story is told that the server of the page was started with. */
async function followStory(): Promise<void> {
  const response = await fetch('story.json');
  if (!response.ok) return;
  const { place }: ServedStory = await response.json();
  replaceRoute(`#${place}`);
}

/** Opens what the server of the page names beside it. */
async function openServed(
  model: Remote<InspectorModel>,
  description: string,
  isLast: () => boolean,
): Promise<Answer<OpenedDump>> {
  try {
    const response = await fetch(description);
    if (!response.ok) throw new Error(String(response.status));
    const source: ServedSource = await response.json();
    // What was chosen in the meantime is open already, and stays.
    if (!isLast()) return { failure: { kind: 'input', message: 'Another was opened.' } };
    return await model.openServed(source, document.baseURI);
  } catch {
    return { failure: { kind: 'input', message: 'Nothing was named to be opened.' } };
  }
}
