#!/usr/bin/env bash
# Unpacks (does not install) Consul 1.8.7 from Debian 11's archive into the folder $1, through the mirror apt already uses.
set -euo pipefail
into=$1
mkdir -p "$into"/{lists/partial,archives/partial}
site=$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
  awk '$2 == "Debian" && $3 == "main" && $4 !~ /security|updates|backports/ { print $1; exit }')
if [[ -z $site ]]; then
  apt-get -qq update
  site=$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(COMPONENT) $(RELEASE)' 'Created-By: Packages' |
    awk '$2 == "Debian" && $3 == "main" && $4 !~ /security|updates|backports/ { print $1; exit }')
fi
[[ -n $site ]] || { echo "fetch-consul: apt knows no Debian archive" >&2; exit 1; }
echo "deb [trusted=yes] $site bullseye main" >"$into/sources.list"
options=(-o "Dir::Etc::sourcelist=$into/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o "Dir::State::lists=$into/lists" -o "Dir::Cache=$into")
cd "$into"
apt-get "${options[@]}" -qq update
apt-get "${options[@]}" -qq download consul
dpkg -x consul_*.deb .
rm -rf lists archives consul_*.deb ./*.bin
