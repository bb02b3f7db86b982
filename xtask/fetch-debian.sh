#!/usr/bin/env bash
# Unpacks (does not install) a package of another Debian release: fetch-debian.sh RELEASE PACKAGE FOLDER. Goes through
# the mirror that apt already uses.
set -euo pipefail
release=$1 package=$2 into=$3
rm -rf "$into"
mkdir -p "$into"/{lists/partial,archives/partial}
mirror() {
  apt-get indextargets --format '$(SITE) $(ORIGIN) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
    awk '$2 == "Debian" && $3 == "main" && $4 !~ /security|updates|backports/ { print $1; exit }'
}
site=$(mirror)
if [[ -z $site ]]; then
  apt-get -qq update
  site=$(mirror)
fi
[[ -n $site ]] || { echo "fetch-debian: apt knows no Debian archive" >&2; exit 1; }
echo "deb [trusted=yes] $site $release main" >"$into/sources.list"
# Without this machine's own list of packages, or apt insists on the version that is installed.
options=(-o "Dir::Etc::sourcelist=$into/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::status=/dev/null
  -o "Dir::State::lists=$into/lists" -o "Dir::Cache=$into" -o APT::Sandbox::User=root)
cd "$into"
apt-get "${options[@]}" -qq update
apt-get "${options[@]}" -qq download "$package"
dpkg -x "$package"_*.deb .
rm -rf lists archives sources.list ./*.deb ./*.bin
