import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

/** Where Debian puts it; another one can be named in CHROMIUM. */
const EXECUTABLE = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const LOOK_MS = 30_000;
const LAB_MS = 120_000;

export interface Person {
  readonly username: string;
  readonly page: Page;
  /** Keeps what the page shows as a numbered picture. */
  picture(name: string): Promise<void>;
  /** Logs in at the hub. */
  login(): Promise<void>;
  /** Fills in the hub's login page, wherever it has been led to from. */
  fillInLogin(): Promise<void>;
  /** From the hub's home page to the form, and with the given size through it to the progress page. */
  requestLab(size: string, servername?: string): Promise<void>;
  /** Waits until the progress page has led into JupyterLab. */
  seeJupyterLab(): Promise<void>;
  /** Runs code in a new notebook, and returns what it printed. */
  runInKernel(code: string): Promise<string>;
  /** Stops a server on the hub's home page, and waits until it can be started again. */
  stop(servername?: string): Promise<void>;
  close(): Promise<void>;
}

interface HubDoor {
  readonly url: string;
  readonly password: string;
}

/** People with a browser each, in front of one hub. */
export class People {
  readonly #browser: Browser;
  readonly #hub: HubDoor;
  readonly #folder: string;
  #pictures = 0;

  /**
   * @param hub address of the hub's proxy, and the password for anybody
   * @param folder where pictures go
   */
  static async start(hub: HubDoor, folder: string): Promise<People> {
    mkdirSync(folder, { recursive: true });
    const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox'] });
    return new People(browser, hub, folder);
  }

  private constructor(browser: Browser, hub: HubDoor, folder: string) {
    this.#browser = browser;
    this.#hub = hub;
    this.#folder = folder;
  }

  async person(username: string): Promise<Person> {
    const context = await this.#browser.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(LOOK_MS);
    const page = await context.newPage();
    return this.#personOf(username, context, page);
  }

  close(): Promise<void> {
    return this.#browser.close();
  }

  #personOf(username: string, context: BrowserContext, page: Page): Person {
    const picture = async (name: string) => {
      this.#pictures += 1;
      const number = String(this.#pictures).padStart(2, '0');
      await page.screenshot({ path: join(this.#folder, `${number}-${name}.png`) });
    };
    const at = (path: string) => `${this.#hub.url}${path}`;
    const fillInLogin = async () => {
      await page.fill('input[name=username]', username);
      await page.fill('input[name=password]', this.#hub.password);
      await page.click('#login_submit, input[type=submit]');
    };

    return {
      username,
      page,
      picture,
      fillInLogin,
      async login() {
        await page.goto(at('/hub/login'));
        await fillInLogin();
        await page.waitForURL((url) => !url.pathname.endsWith('/login'));
      },
      async requestLab(size, servername = '') {
        const path = servername === '' ? '' : `/${encodeURIComponent(servername)}`;
        await page.goto(at(`/hub/spawn/${encodeURIComponent(username)}${path}`));
        await page.check(`input[name=size][value=${size}]`);
        await picture(`form-${username}`);
        await page.click('#spawn_form [type=submit]');
      },
      async seeJupyterLab() {
        await page.waitForURL((url) => url.pathname.startsWith(`/user/${encodeURIComponent(username)}/`), {
          timeout: LAB_MS,
        });
        await page.waitForSelector('.jp-Launcher, .jp-NotebookPanel', { timeout: LAB_MS });
      },
      async runInKernel(code) {
        await page.click('.jp-LauncherCard[data-category=Notebook]');
        // A cell that is run before the kernel is there runs never.
        await page.getByText('| Idle').waitFor({ timeout: LAB_MS });
        await page.click('.jp-Notebook .jp-Cell .cm-content');
        await page.keyboard.type(code);
        await page.keyboard.press('Shift+Enter');
        const output = page.locator('.jp-OutputArea-output').first();
        await output.waitFor({ timeout: LAB_MS });
        return (await output.innerText()).trim();
      },
      async stop(servername = '') {
        await page.goto(at('/hub/home'));
        if (servername === '') {
          await page.click('#stop');
          await page.waitForSelector('#stop', { state: 'hidden', timeout: LAB_MS });
        } else {
          const row = page.locator(`tr.home-server-row[data-server-name="${servername}"]`);
          await row.locator('.stop-server').click();
          await row.locator('.start-server:not(.hidden)').waitFor({ timeout: LAB_MS });
        }
      },
      close: () => context.close(),
    };
  }
}
