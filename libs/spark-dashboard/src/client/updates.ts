/**
 * The part of the browser's module that keeps the page up to date: by server-sent events, or by asking every ten seconds where a proxy or the
 * browser does not let these through. It rests while the page is hidden.
 */
export const UPDATES = String.raw`
const POLL = 10000;
const PATIENCE = 10000;
const SILENCE = 40000;
const MISSES = 2;

function keepUpToDate(main, button, status) {
  let source, timer, isOn = stored() !== 'off';
  // How often the events did not come, and how often asking has failed.
  let misses = 0, failures = 0, polls = 0;

  const address = (now) => {
    const page = location.pathname.split('/').pop() + location.search;
    return 'live?' + new URLSearchParams({ of: page, has: main.dataset.live, ...(now && { now: 1 }) });
  };
  const after = (wait, work) => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
  const tell = (words) => {
    if (status.textContent !== words) status.textContent = words;
  };

  function show(html, version) {
    if (!version || version === main.dataset.live) return;
    const template = document.createElement('template');
    template.innerHTML = html;
    const active = document.activeElement;
    morphChildren(main, template.content);
    main.dataset.live = version;
    if (active === document.activeElement || !active || active === document.body) return;
    (active.isConnected ? active : main).focus({ preventScroll: true });
  }

  function stop() {
    clearTimeout(timer);
    if (source) source.close();
    source = undefined;
  }

  function start(now) {
    stop();
    if (!isOn || document.hidden) return;
    if (misses >= MISSES || !window.EventSource) return void poll(now);
    source = new EventSource(address(now));
    const heard = () => {
      misses = failures = 0;
      tell('');
      after(SILENCE, miss);
    };
    source.onopen = heard;
    source.onmessage = (event) => {
      heard();
      show(event.data, event.lastEventId);
    };
    source.addEventListener('beat', heard);
    // Otherwise the browser connects again by itself.
    source.onerror = () => source && source.readyState === EventSource.CLOSED && miss();
    after(PATIENCE, miss);
  }

  function miss() {
    misses++;
    stop();
    after(1000 * 2 ** misses, () => start(true));
  }

  async function poll(now) {
    const isWanted = () => isOn && !document.hidden;
    try {
      const response = await fetch(address(now), { headers: { Accept: 'text/html' }, redirect: 'error' });
      if (!response.ok) throw new Error(response.statusText);
      if (response.status === 200 && isWanted()) show(await response.text(), response.headers.get('Spark-Version'));
      failures = 0;
      tell('');
    } catch {
      if (++failures > 2) tell(status.dataset.lost);
    }
    // Now and then it tries the events again.
    if (++polls % 30 === 0) misses = 0;
    if (isWanted()) after(POLL * Math.min(2 ** failures, 6), () => start(false));
  }

  function switchTo(on) {
    isOn = on;
    button.setAttribute('aria-pressed', String(on));
    stored(on ? 'on' : 'off');
    start(true);
  }

  document.addEventListener('visibilitychange', () => start(true));
  addEventListener('pagehide', stop);
  addEventListener('pageshow', (event) => event.persisted && start(true));
  button.addEventListener('click', () => switchTo(!isOn));
  button.setAttribute('aria-pressed', String(isOn));
  button.parentElement.hidden = false;
  start(false);
}

/** What the reader has chosen, as far as the browser lets pages store it. */
function stored(value) {
  try {
    if (value) localStorage.setItem('spark-live', value);
    return localStorage.getItem('spark-live');
  } catch {
    return value;
  }
}
`;
