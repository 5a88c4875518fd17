// CoreDNS with only the plugins that tests/cluster/manifests/coredns.yaml configures: the cloud plugins of the
// stock binary are most of its build time.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/template"
)

// The order in which a query passes the plugins, as in CoreDNS' own plugin.cfg.
func init() {
	dnsserver.Directives = []string{"reload", "errors", "health", "ready", "cache", "template", "kubernetes"}
}

func main() {
	coremain.Run()
}
