// Debian packages of other architectures and suites, fetched beside the machine's own APT: its lists, its
// cache and what is installed stay as they are.
import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * @typedef {object} Package
 * @property {string} name
 * @property {string} version
 */

/** One architecture of one suite, with package lists of its own below `directory`. */
export class DebianArchive {
  #directory;
  #architecture;

  /** @param {string} directory @param {string} architecture Debian's name, `s390x` */
  constructor(directory, architecture) {
    this.#directory = directory;
    this.#architecture = architecture;
  }

  /**
   * Reads the package lists of a suite from the mirror that this machine uses itself.
   *
   * @param {string | undefined} suite default: this machine's own
   */
  async update(suite) {
    for (const name of ['lists/partial', 'cache/archives/partial']) {
      await mkdir(join(this.#directory, name), { recursive: true });
    }
    const { uri, codename } = await ownMirror();
    const source = `deb [signed-by=${KEYRING}] ${uri} ${suite ?? codename} main\n`;
    await writeFile(join(this.#directory, 'sources.list'), source);
    await this.#apt('apt-get', ['update', '--error-on=any']);
  }

  /** What a meta package stands for: the first package of the pattern that it depends on.
   * @param {string} name @param {RegExp} pattern */
  async dependency(name, pattern) {
    const depends = await this.#apt('apt-cache', ['depends', name]);
    const found = [...depends.matchAll(/Depends: (\S+)/g)].map(([, each = '']) => each);
    const match = found.find((each) => pattern.test(each));
    if (!match) throw new Error(`${name} for ${this.#architecture} depends on no ${pattern}`);
    return match;
  }

  /** @param {string} name @returns {Promise<Package>} */
  async candidate(name) {
    const show = await this.#apt('apt-cache', ['show', '--no-all-versions', name]);
    const version = /^Version: (\S+)$/m.exec(show)?.[1];
    if (!version) throw new Error(`APT does not know ${name} for ${this.#architecture}`);
    return { name, version };
  }

  /** Downloads packages and unpacks them into one tree; nothing is installed.
   * @param {readonly Package[]} packages @param {string} tree */
  async unpack(packages, tree) {
    const names = packages.map(({ name, version }) => `${name}=${version}`);
    await this.#apt('apt-get', ['download', ...names]);
    const archives = (await readdir(this.#directory)).filter((name) => name.endsWith('.deb'));
    for (const archive of archives) {
      await run('dpkg-deb', ['-x', join(this.#directory, archive), tree]);
    }
  }

  /** @param {string} program @param {readonly string[]} args */
  async #apt(program, args) {
    const at = (/** @type {string} */ name) => join(this.#directory, name);
    const options = {
      'APT::Architecture': this.#architecture,
      'APT::Architectures': this.#architecture,
      // APT's own download user could not write here; root downloads as root.
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Dir::Cache': at('cache'),
      'Dir::Etc::SourceList': at('sources.list'),
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::State::Lists': at('lists'),
      'Dir::State::Status': '/dev/null',
    };
    const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const env = { ...process.env, LC_ALL: 'C' };
    const { stdout } = await run(program, ['-q', ...words, ...args], {
      cwd: this.#directory,
      env,
      maxBuffer: 2 ** 26,
    });
    return stdout;
  }
}

/** Where this machine's own Debian packages come from. */
export async function ownMirror() {
  const { stdout } = await run('apt-get', [
    ...['indextargets', '--format', '$(REPO_URI) $(CODENAME)'],
    ...['Origin: Debian', 'Component: main', 'Created-By: Packages'],
  ]);
  const main = /^(\S+) ([a-z]+)$/m.exec(stdout);
  if (!main) throw new Error('no Debian mirror is configured here, or apt-get update never ran');
  const [, uri = '', codename = ''] = main;
  return { uri, codename };
}
